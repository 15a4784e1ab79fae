"""What the terminal shows: the table of a session, the list of engines, a broken limit's text."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from pytest_layers.report import timeline
from pytest_layers.report.grid import Grid, Row, render
from pytest_layers.units import ROW_UNITS, format_bytes, format_figure, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_layers.records import (
        Bracket,
        Case,
        CaseResult,
        CodeLine,
        Measurement,
        Run,
        Speedup,
        Survival,
        Timing,
        Verdict,
    )

_COLUMNS = (
    "test",
    "engine",
    "size",
    "wall",
    "peak growth",
    "x data",
    "cores / wanted",
    "speed-up",
    "hard limit",
    "verdict",
)
_NUMERIC = frozenset(_COLUMNS[2:8])
_DROPPED = ((), ("test",), ("test", "x data"), ("test", "x data", "wall"))
"""Columns left out where the terminal is narrow, step by step; a test's name then has a line of its own."""
_STYLES = {"failed": "red", "error": "red", "inconclusive": "yellow", "passed": "green"}
_WORKING_ELSEWHERE = {"parallel", "cluster"}
"""Layers whose engines work in processes of their own."""
_NONE = "-"
_PIP, _GLUE = "pip install ", "\N{NO-BREAK SPACE}"
_CHANGED_IN_QUOTES = frozenset('"$`\\!')
_WIDE_BRACKET_BYTES = 4 * 2**20
_WIDE_BRACKET_SHARE = 0.05
_WIDE_CORES = 0.15


class EngineRow(Protocol):
    """What `engines_table` needs to know of an engine."""

    @property
    def name(self) -> str:
        """As in `--layers=NAME`."""

    @property
    def layer(self) -> str:
        """Its layer's name."""

    @property
    def version(self) -> str | None:
        """The installed version, if any."""

    @property
    def obstacle(self) -> str | None:
        """Why it can't run here, if it can't."""

    @property
    def install(self) -> str:
        """The command that installs it."""


def table(run: Run, *, verbosity: int, width: int, colour: bool) -> list[str]:
    """Lines for the end of a session: one row per measured case, then remarks; none without cases.

    `verbosity` is pytest's: below 0 only cases that failed or are inconclusive; above 0 details
    under each row, and the skipped cases too.
    """
    shown = [result for result in run.cases if _is_shown(result, verbosity)]
    names = _names(shown, run)
    remarks = [line for text in _remarks(run, verbosity) for line in _folded(text, width)]
    if not shown:
        return remarks
    cells = [_cells(result, name) for result, name in zip(shown, names, strict=True)]
    below = [_details(result, width) if verbosity > 0 else () for result in shown]
    grids = [_grid(dropped, cells, below) for dropped in _DROPPED]
    return [*render(grids, width=width, colour=colour), *remarks]


def engines_table(engines: Sequence[EngineRow], *, width: int, colour: bool) -> list[str]:
    """Lines for `--layers-list`: what can run here, and what would mend the others."""
    columns = ("engine", "layer", "version", "runs here", "why not", "how to install")
    cells = [_engine_cells(engine, columns) for engine in engines]
    wide = Grid(columns, tuple(Row(row) for row in cells))
    narrow = Grid(columns[:4], tuple(Row(row, below=_mending(row)) for row in cells))
    return render([wide, narrow], width=width, colour=colour)


def failure(result: CaseResult, *, nodeid: str = "", ascii_only: bool = False) -> str:
    """The text of a case with broken limits: each one, the window drawn, how to run it again.

    `nodeid` names the test from where pytest was started, if that is not where its node ids begin.
    """
    broken = [verdict for verdict in result.verdicts if verdict.outcome != "passed"]
    broken.sort(key=lambda verdict: verdict.outcome != "failed")
    blocks = ["\n".join(_block(verdict, result)) for verdict in broken]
    if result.measurement is not None:
        blocks.append("\n".join(timeline.draw(result.measurement, ascii_only=ascii_only)))
    blocks.append(f"To run it again:\n  {_command(result.case, nodeid or result.case.nodeid)}")
    return "\n\n".join(filter(None, blocks))


def progress_line(what: str, done: int, total: int) -> str:
    """`making sales 50M: 34% (17M of 50M rows)`, for `done` of `total` rows."""
    unit, factor = max(
        ((unit, factor) for unit, factor in ROW_UNITS.items() if factor <= max(total, 1)),
        key=lambda pair: pair[1],
    )
    rows = f"{done / factor:.3g}{unit} of {total / factor:.3g}{unit} rows"
    return f"making {what}: {done / max(total, 1):.0%} ({rows})"


def _block(verdict: Verdict, result: CaseResult) -> Iterator[str]:
    """A broken limit: by how much, which line ran then, who held or did what."""
    yield verdict.text
    for line in verdict.where:
        yield from _ran(line)
        if result.case.layer in _WORKING_ELSEWHERE:
            yield f"    (what the workers of {result.case.engine} ran is not seen)"
    if verdict.details:
        yield verdict.details


def _ran(line: CodeLine) -> Iterator[str]:
    """When a line of the team's code ran and for what share of it, the line itself, and what it called."""
    seconds = format_seconds(line.seconds)
    during = {
        "peak": ("running near the peak", f"the {seconds} near it"),
        "one_core": ("running while one core worked alone", seconds),
    }
    what, whole = during[line.when]
    times = _counted(line.stack_samples, "stack sample")
    yield f"{what}: {line.file}:{line.line} in {line.function} ({line.share:.0%} of {whole}, {times})"
    if line.source:
        yield f"    {line.source}"
    if line.call:
        yield f"    within {line.call}"


def _is_shown(result: CaseResult, verbosity: int) -> bool:
    if verbosity < 0:
        return result.outcome in {"failed", "error", "inconclusive"}
    judged = result.measurement is not None or bool(result.verdicts)
    return judged or result.survival is not None or (verbosity > 0 and result.outcome == "skipped")


def _names(shown: Sequence[CaseResult], run: Run) -> list[str]:
    """The tests shown without engine and size, and without the file where all cases of the run share it."""
    names = [_name(result.case) for result in shown]
    one_file = len({result.case.nodeid.partition("::")[0] for result in run.cases}) == 1
    return [name.partition("::")[2] or name for name in names] if one_file else names


def _name(case: Case) -> str:
    """`test_a.py::test_x[eu]` for `test_a.py::test_x[polars-1M-eu]`, on one line."""
    path, _, rest = " ".join(case.nodeid.splitlines()).partition("::")
    function, _, params = rest.partition("[")
    others = f"-{params.removesuffix(']')}-"
    for part in filter(None, (case.engine, case.size)):
        others = others.replace(f"-{part}-", "-", 1)
    suffix = f"[{others.strip('-')}]" if others.strip("-") else ""
    return f"{path}::{function}{suffix}" if function else path


def _cells(result: CaseResult, name: str) -> dict[str, str]:
    measurement = result.measurement
    unjudged = result.outcome == "passed" and not result.verdicts
    return dict.fromkeys(_COLUMNS, _NONE) | {
        "test": name,
        "engine": result.case.engine or _NONE,
        "size": result.case.size or _NONE,
        "hard limit": result.survival.outcome if result.survival else _NONE,
        "verdict": "no limit" if unjudged else result.outcome,
        **(_measured_cells(measurement, result.data_bytes) if measurement else {}),
    }


def _measured_cells(measurement: Measurement, data_bytes: int) -> dict[str, str]:
    return {
        "wall": format_seconds(measurement.wall_seconds),
        "peak growth": _bytes(measurement.growth),
        "x data": f"{measurement.growth.upper_bytes / data_bytes:.2f}x" if data_bytes else _NONE,
        "cores / wanted": f"{measurement.cores_used:.1f} / {_wanted(measurement)} of {measurement.cores_given}",
        "speed-up": _times(measurement.speedup) if measurement.speedup else _NONE,
    }


def _wanted(measurement: Measurement) -> str:
    """The lower end, or both where they are far apart."""
    lower, upper = measurement.cores_wanted_lower, measurement.cores_wanted_upper
    return f"{lower:.1f}" if upper - lower <= _WIDE_CORES else f"{lower:.1f} - {upper:.1f}"


def _times(found: Speedup) -> str:
    return f"{found.factor:.1f}x ({found.serial_share * 100:.0f} % serial)"


def _bytes(bracket: Bracket) -> str:
    """The upper end, or both where they are far apart."""
    upper = format_bytes(bracket.upper_bytes)
    allowed = max(_WIDE_BRACKET_BYTES, _WIDE_BRACKET_SHARE * bracket.upper_bytes)
    if bracket.width_bytes <= allowed:
        return upper
    lower = format_bytes(bracket.lower_bytes)
    same_unit = lower.split()[1] == upper.split()[1]
    return f"{lower.split()[0] if same_unit else lower} - {upper}"


def _grid(
    dropped: tuple[str, ...], cells: list[dict[str, str]], below: list[tuple[str, ...]]
) -> Grid:
    """The rows without the columns `dropped`, and without those that are empty in all rows."""
    said = [title for title in _COLUMNS if any(row[title] != _NONE for row in cells)]
    folded = "test" in dropped
    rows, before = [], ""
    for row, lines in zip(cells, below, strict=True):
        above = (row["test"],) if folded and row["test"] != before else ()
        rows.append(Row(row, _STYLES.get(row["verdict"], ""), above, lines))
        before = row["test"]
    columns = tuple(title for title in said if title not in dropped)
    return Grid(columns, tuple(rows), _NUMERIC, indent=2 if folded else 0)


def _details(result: CaseResult, width: int) -> tuple[str, ...]:
    texts = [f"{verdict.outcome}: {verdict.text}" for verdict in result.verdicts]
    if result.survival is not None:
        texts.append(_survival(result.survival))
    if result.measurement is not None:
        texts += _measured_details(result.measurement, result.attempts)
    if result.outcome == "skipped":
        texts.append(result.reason)
    return tuple(line for text in texts for line in _folded(text, width, indent=4))


def _survival(found: Survival) -> str:
    limit = format_bytes(found.limit_bytes)
    return f"in {limit} (hard limit, kept by the {found.kept_by}): {found.text}"


def _measured_details(measurement: Measurement, attempts: int) -> Iterator[str]:
    gap = format_seconds(measurement.longest_gap_seconds)
    yield f"{measurement.samples} samples, longest gap {gap}, {_counted(attempts, 'attempt')}"
    shared, files = format_bytes(measurement.shared_bytes), format_bytes(measurement.file_bytes)
    yield f"shared memory {shared} (counted), file pages {files} (not counted)"
    largest = sorted(measurement.processes, key=lambda process: -process.at_peak_bytes)[:3]
    if largest:
        held = (f"{one.name} ({one.pid}) {format_bytes(one.at_peak_bytes)}" for one in largest)
        yield f"held at the peak: {', '.join(held)}"
    for node in measurement.nodes:
        yield f"node {node.name}: growth {_bytes(node.growth)}, {node.cpu_seconds:.1f} s of CPU time"
    if measurement.speedup:
        yield f"on all cores {_walls(pair.all_cores for pair in measurement.speedup.pairs)}"
        yield f"on 1 core {_walls(pair.one_core for pair in measurement.speedup.pairs)}"
    if measurement.native:
        figures = (format_figure(name, value) for name, value in measurement.native.items())
        yield f"the engine says: {', '.join(figures)}"
    yield from (f"note: {note}" for note in measurement.notes)


def _walls(timings: Iterable[Timing]) -> str:
    return ", ".join(format_seconds(timing.wall_seconds) for timing in timings)


def _remarks(run: Run, verbosity: int) -> Iterator[str]:
    """What a reader must know beside the figures."""
    yield from _inconclusive(run)
    tainted = sum(case.isolation == "none" and case.measurement is not None for case in run.cases)
    if tainted:
        yield (
            f"{_counted(tainted, 'case')} measured in pytest's own process (isolation none):"
            " the figures are tainted by what ran before"
        )
    if verbosity >= 0:
        yield from _skips(run)


def _inconclusive(run: Run) -> Iterator[str]:
    """A line for each test: its first inconclusive case and why, and how many there are more."""
    tests: dict[str, list[CaseResult]] = {}
    for result in run.cases:
        if result.outcome == "inconclusive":
            tests.setdefault(result.case.nodeid.partition("[")[0], []).append(result)
    for first, *others in tests.values():
        more = f" (and {_counted(len(others), 'case')} more of this test)" if others else ""
        yield f"inconclusive: {first.case.nodeid}: {_why(first)}{more}"


def _why(result: CaseResult) -> str:
    texts = [verdict.text for verdict in result.verdicts if verdict.outcome == "inconclusive"]
    return result.reason or "; ".join(texts)


def _skips(run: Run) -> Iterator[str]:
    reasons = Counter(
        (result.case.engine, result.reason)
        for result in run.cases
        if result.outcome == "skipped" and result.case.engine
    )
    for (engine, reason), count in reasons.items():
        yield f"skipped: {engine}, {_counted(count, 'case')}: {reason}"


def _engine_cells(engine: EngineRow, columns: tuple[str, ...]) -> dict[str, str]:
    obstacle = " ".join((engine.obstacle or "").split())
    values = (
        engine.name,
        engine.layer,
        engine.version or _NONE,
        "no" if obstacle else "yes",
        obstacle,
        engine.install if obstacle else "",
    )
    return dict(zip(columns, values, strict=True))


def _mending(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"    {row[title]}" for title in ("why not", "how to install") if row[title])


def _command(case: Case, nodeid: str) -> str:
    """The command line that runs this case alone."""
    engine = f" --layers={case.engine}" if case.engine else ""
    size = f" --layers-sizes={case.size}" if case.size else ""
    return f"pytest {_quoted(nodeid)}{engine}{size}"


def _quoted(nodeid: str) -> str:
    """One word of a command line: in double quotes, which Windows knows too, unless a shell looks into them."""
    return f'"{nodeid}"' if _CHANGED_IN_QUOTES.isdisjoint(nodeid) else shlex.quote(nodeid)


def _folded(text: str, width: int, indent: int = 0) -> list[str]:
    """`text` in lines of `width`, broken between words only: ids and commands stay whole."""
    lines = textwrap.wrap(
        text.replace(_PIP, _PIP.replace(" ", _GLUE)),
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in lines]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
