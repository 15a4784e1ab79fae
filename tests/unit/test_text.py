"""What the terminal shows, letter by letter."""

import dataclasses
import re
import shlex
from dataclasses import dataclass

import pytest

from pytest_layers.records import (
    SCHEMA_VERSION,
    Bracket,
    Case,
    CaseResult,
    CodeLine,
    Limit,
    Machine,
    Measurement,
    Moment,
    Node,
    Pair,
    ProcessPeak,
    Run,
    Speedup,
    Survival,
    Timing,
    Verdict,
)
from pytest_layers.report import text, timeline

MIB = 2**20
CEILING = Limit("memory_ceiling", "0.5x + 150 MiB", of="growth")
ANSI = re.compile(r"\x1b\[\d+m")


def cost(grew_mib=82, *, lower_mib=None, **others):
    lower = grew_mib if lower_mib is None else lower_mib
    given = {
        "wall_seconds": 1.2,
        "cpu_seconds": 1.44,
        "wait_seconds": 0.6,
        "preempted_seconds": 0.6,
        "cores_given": 2,
        "base_bytes": 300 * MIB,
        "total": Bracket((300 + lower) * MIB, (300 + grew_mib) * MIB),
        "growth": Bracket(lower * MIB, grew_mib * MIB),
        "file_bytes": 12 * MIB,
        "shared_bytes": 0,
        "peak_seconds": 0.9,
        "processes": (),
        "timeline": (),
        "samples": 120,
        "longest_gap_seconds": 0.022,
    }
    return Measurement(**given | others)


def case(test, engine=None, size=None, outcome="passed", measurement=None, **others):
    params = "-".join(filter(None, (engine, size)))
    nodeid = f"tests/test_shop.py::{test}" + (f"[{params}]" if params else "")
    return CaseResult(
        Case(nodeid, engine, "engine" if engine else None, size),
        outcome,
        data_bytes=40 * MIB if size else 0,
        measurement=measurement,
        verdicts=tuple(others.pop("verdicts", ())),
        **others,
    )


def judged(outcome, words="grew by 82 MiB", details=""):
    return Verdict(CEILING, outcome, 100.0 * MIB, 82.0 * MIB, words, details)


PASSED = case("test_sum", "pandas", "100k", measurement=cost(), verdicts=[judged("passed")])
FAILED = case("test_sum", "pandas", "1M", "failed", cost(812), verdicts=[judged("failed")])
UNSURE = case(
    "test_sum",
    "polars-streaming",
    "1M",
    "inconclusive",
    cost(390, lower_mib=300),
    verdicts=[judged("inconclusive", "grew by 300 - 390 MiB, straddles 340 MiB")],
)
UNLIMITED = case("test_join", measurement=cost(21))
SKIPPED = case(
    "test_join",
    "vaex",
    "1M",
    "skipped",
    reason='vaex is not installed; pip install "pytest-layers[vaex]"',
)


def table(*results, verbosity=0, width=120, colour=False):
    machine = Machine("Linux 6", "3.12.1", 2, 2**33)
    run = Run(SCHEMA_VERSION, "0.1.0", "2026-01-02T03:04:05Z", machine, 2, {}, results)
    return text.table(run, verbosity=verbosity, width=width, colour=colour)


def test_a_run_without_cases_says_nothing():
    assert table() == []


def test_each_measured_case_has_a_row():
    lines = table(case("test_x", "polars", "1M", measurement=cost()), UNLIMITED)
    assert lines == [
        "test       engine  size    wall  peak growth  x data  cores / wanted  verdict ",
        "test_x     polars    1M  1.20 s     82.0 MiB   2.05x  1.2 / 1.7 of 2  no limit",
        "test_join  -          -  1.20 s     21.0 MiB       -  1.2 / 1.7 of 2  no limit",
    ]


def test_the_verdict_is_the_outcome():
    lines = table(PASSED, FAILED, UNSURE, UNLIMITED)
    assert [line[-12:] for line in lines[:5]] == [
        "verdict     ",
        "passed      ",
        "failed      ",
        "inconclusive",
        "no limit    ",
    ]


def test_columns_that_say_nothing_are_left_out():
    assert table(UNLIMITED) == [
        "test         wall  peak growth  cores / wanted  verdict ",
        "test_join  1.20 s     21.0 MiB  1.2 / 1.7 of 2  no limit",
    ]


def test_at_width_80_a_test_has_a_line_of_its_own():
    assert table(PASSED, FAILED, UNSURE, UNLIMITED, width=80)[:7] == [
        "  engine            size    wall    peak growth  cores / wanted  verdict     ",
        "test_sum",
        "  pandas            100k  1.20 s       82.0 MiB  1.2 / 1.7 of 2  passed      ",
        "  pandas              1M  1.20 s        812 MiB  1.2 / 1.7 of 2  failed      ",
        "  polars-streaming    1M  1.20 s  300 - 390 MiB  1.2 / 1.7 of 2  inconclusive",
        "test_join",
        "  -                    -  1.20 s       21.0 MiB  1.2 / 1.7 of 2  no limit    ",
    ]


def test_below_width_80_the_wall_time_goes_too():
    header = table(PASSED, UNSURE, width=70)[0]
    assert header == "  engine            size    peak growth  cores / wanted  verdict     "


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_rows_are_equally_wide_and_no_name_is_broken(width):
    lines = table(PASSED, FAILED, UNSURE, width=width)[:-1]
    rows = [line for line in lines if "of 2" in line or "verdict" in line]
    assert len(rows) == 4
    assert len({len(row) for row in rows}) == 1
    assert "polars-streaming" in rows[3]


def test_a_name_with_line_breaks_is_on_one_line():
    lines = table(case("test_x[a\nb\u2028c]", measurement=cost()))
    assert [line.split("  ")[0] for line in lines] == ["test", "test_x[a b c]"]


def test_the_file_is_named_where_tests_of_several_are_shown():
    other = CaseResult(Case("tests/test_b.py::test_y"), "passed", measurement=cost())
    lines = table(UNLIMITED, other)
    assert [line.split()[0] for line in lines[1:]] == [
        "tests/test_shop.py::test_join",
        "tests/test_b.py::test_y",
    ]


def test_the_file_is_named_where_cases_of_others_were_run_but_are_not_shown():
    other = CaseResult(Case("tests/test_b.py::test_sum[pandas-1M]"), "passed", measurement=cost())
    lines = table(FAILED, other, verbosity=-1)
    assert lines[1].split()[0] == "tests/test_shop.py::test_sum"


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("test_a.py::test_x[polars-1M]", "test_x"),
        ("test_a.py::test_x[polars-1M-eu]", "test_x[eu]"),
        ("test_a.py::test_x[eu-polars-1M-b]", "test_x[eu-b]"),
        ("test_a.py::TestShop::test_x[polars-1M]", "TestShop::test_x"),
        ("test_a.py::test_x[polars-growth]", "test_x[growth]"),
    ],
)
def test_engine_and_size_are_not_said_twice(nodeid, name):
    result = CaseResult(Case(nodeid, "polars", "engine", "1M"), "passed", measurement=cost())
    assert table(result)[1].split()[0] == name


def test_a_bracket_narrower_than_4_mib_is_said_as_its_upper_end():
    assert "14.0 MiB  " in table(case("test_x", measurement=cost(14, lower_mib=10)))[1]


def test_a_bracket_narrower_than_5_percent_is_said_as_its_upper_end():
    assert "  800 MiB  " in table(case("test_x", measurement=cost(800, lower_mib=760)))[1]


def test_a_bracket_over_two_units_names_both():
    lines = table(case("test_x", measurement=cost(2048, lower_mib=900)))
    assert "900 MiB - 2.00 GiB" in lines[1]


def test_a_law_has_a_row_although_nothing_was_measured_for_it():
    law = case("test_x", "polars", outcome="failed", verdicts=[judged("failed")])
    assert table(law) == ["test    engine  verdict", "test_x  polars  failed "]


def test_colours_say_the_outcome_and_change_nothing_else():
    plain = table(PASSED, FAILED, UNSURE, UNLIMITED)
    coloured = table(PASSED, FAILED, UNSURE, UNLIMITED, colour=True)
    assert [ANSI.sub("", line) for line in coloured] == plain
    assert [line[:5] if "\x1b" in line else "" for line in coloured[1:5]] == [
        "\x1b[32m",
        "\x1b[31m",
        "\x1b[33m",
        "",
    ]


def test_colours_are_there_on_a_dumb_terminal_if_asked_for(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    assert table(FAILED, colour=True)[1].startswith("\x1b[31m")


def test_quiet_shows_only_what_failed_or_is_inconclusive():
    lines = table(PASSED, FAILED, UNSURE, UNLIMITED, SKIPPED, verbosity=-1)
    assert [line.split()[-1] for line in lines[1:3]] == ["failed", "inconclusive"]
    assert len(lines) == 4


def test_quiet_says_nothing_of_a_good_run():
    assert table(PASSED, UNLIMITED, SKIPPED, verbosity=-1) == []


def test_verbose_explains_each_row():
    processes = (
        ProcessPeak(7, "worker", 90 * MIB, 12 * MIB, 0.1),
        ProcessPeak(5, "python", 900 * MIB, 800 * MIB, 1.3),
    )
    measured = cost(processes=processes, notes=("swap was not read",))
    result = case("test_x", measurement=measured, verdicts=[judged("passed")], attempts=3)
    assert table(result, verbosity=1)[2:] == [
        "    passed: grew by 82 MiB",
        "    120 samples, longest gap 22 ms, 3 attempts",
        "    shared memory 0 B (counted), file pages 12.0 MiB (not counted)",
        "    held at the peak: python (5) 800 MiB, worker (7) 12.0 MiB",
        "    note: swap was not read",
    ]


def test_verbose_tells_what_nodes_and_the_engine_say():
    bracket = Bracket(30 * MIB, 30 * MIB)
    node = Node("host:7", 2, 0, bracket, bracket, 1.5, 0.0, 0.0, ())
    native = {"spilled_bytes": 60 * MIB, "stages": 3}
    measured = cost(nodes=(node,), native=native)
    shown = table(case("test_x", "spark", "1M", measurement=measured), verbosity=1)
    assert "    node host:7: growth 30.0 MiB, 1.5 s of CPU time" in shown
    assert "    the engine says: spilled 60.0 MiB, stages 3" in shown


def test_a_speed_up_has_a_column_and_its_runs_are_told():
    pair = Pair(Timing(1.0, 2.0, 0.0), Timing(1.9, 1.9, 0.0))
    found = Speedup((pair, pair), 1.9, 1.8, 2.0, 0.053)
    result = case("test_x", measurement=cost(speedup=found), verdicts=[judged("passed")])
    lines = table(result, UNLIMITED, verbosity=1)
    assert lines[0].endswith("  cores / wanted           speed-up  verdict ")
    assert lines[1].endswith("  1.2 / 1.7 of 2  1.9x (5 % serial)  passed  ")
    assert lines[-3].endswith("  1.2 / 1.7 of 2                  -  no limit")
    assert "    on all cores 1.00 s, 1.00 s" in lines
    assert "    on 1 core 1.90 s, 1.90 s" in lines


def test_what_was_done_under_a_hard_limit_has_a_column_and_is_told():
    spilled = Survival(2**31, "kernel", "spilled", "spilled 300 MiB to disk")
    died = Survival(2**31, "supervisor", "died", "stopped at the limit by the supervisor")
    first = case("test_x", measurement=cost(), survival=spilled)
    lines = table(first, case("test_x", outcome="error", survival=died), verbosity=1)
    assert lines[0].endswith("  hard limit  verdict ")
    assert lines[1].endswith("  spilled     no limit")
    assert "    in 2.00 GiB (hard limit, kept by the kernel): spilled 300 MiB to disk" in lines
    assert lines[-2].endswith("  died        error   ")
    assert lines[-1].endswith(
        "(hard limit, kept by the supervisor): stopped at the limit by the supervisor"
    )


def test_verbose_shows_skipped_cases_with_their_reason():
    assert table(SKIPPED, verbosity=1)[:3] == [
        "test       engine  size  verdict",
        "test_join  vaex      1M  skipped",
        '    vaex is not installed; pip install "pytest-layers[vaex]"',
    ]


def test_inconclusive_cases_are_listed_with_why():
    assert table(UNSURE)[-1] == (
        "inconclusive: tests/test_shop.py::test_sum[polars-streaming-1M]:"
        " grew by 300 - 390 MiB, straddles 340 MiB"
    )


def test_an_inconclusive_case_without_measurement_is_listed_too():
    result = case("test_x", outcome="inconclusive", reason="no reading within 12 ms")
    assert table(result) == ["inconclusive: tests/test_shop.py::test_x: no reading within 12 ms"]


def test_a_remark_breaks_between_words_but_not_in_an_id_nor_in_a_command():
    assert table(UNSURE, SKIPPED, width=50)[-5:] == [
        "inconclusive:",
        "  tests/test_shop.py::test_sum[polars-streaming-1M]:",
        "  grew by 300 - 390 MiB, straddles 340 MiB",
        "skipped: vaex, 1 case: vaex is not installed;",
        '  pip install "pytest-layers[vaex]"',
    ]


def test_figures_of_cases_that_were_not_isolated_are_called_tainted():
    result = case("test_x", measurement=cost(), isolation="none")
    assert table(result)[-1] == (
        "1 case measured in pytest's own process (isolation none):"
        " the figures are tainted by what ran before"
    )


def test_skipped_engines_are_counted_by_reason():
    no_java = case("test_x", "spark", "1M", "skipped", reason="no Java")
    assert table(SKIPPED, no_java, SKIPPED) == [
        'skipped: vaex, 2 cases: vaex is not installed; pip install "pytest-layers[vaex]"',
        "skipped: spark, 1 case: no Java",
    ]


@dataclass(frozen=True)
class Listed:
    name: str
    layer: str
    version: str | None
    obstacle: str | None
    install: str


ENGINES = [
    Listed("pandas", "classic", "2.3.1", None, 'pip install "pytest-layers[pandas]"'),
    Listed("vaex", "engine", None, "needs Python\nbelow 3.13", "pip install vaex"),
]


def test_engines_are_listed_with_what_would_mend_them():
    assert text.engines_table(ENGINES, width=100, colour=False) == [
        "engine  layer    version  runs here  why not                  how to install  ",
        "pandas  classic  2.3.1    yes                                                 ",
        "vaex    engine   -        no         needs Python below 3.13  pip install vaex",
    ]


def test_engines_have_their_obstacle_below_where_it_is_narrow():
    assert text.engines_table(ENGINES, width=60, colour=False) == [
        "engine  layer    version  runs here",
        "pandas  classic  2.3.1    yes      ",
        "vaex    engine   -        no       ",
        "    needs Python below 3.13",
        "    pip install vaex",
    ]


RAMP = tuple(Moment(step / 8, (300 + 100 * step) * MIB, 2 * step / 7) for step in range(8))
RAMPED = cost(812, wall_seconds=1.0, timeline=RAMP, peak_seconds=0.875)


def test_a_failure_says_the_limit_then_who_held_it_then_when_then_how_to_repeat():
    result = case(
        "test_x",
        "polars",
        "1M",
        "failed",
        RAMPED,
        verdicts=[judged("passed", "fine"), judged("failed", "grew by 812 MiB", "python  800 MiB")],
    )
    assert text.failure(result).splitlines() == [
        "grew by 812 MiB",
        "python  800 MiB",
        "",
        "footprint  ▁▂▂▂▂▂▂▃▃▃▃▃▃▄▄▄▄▄▄▅▅▅▅▅▅▆▆▆▆▆▆▇▇▇▇▇▇███████████  300 MiB to 1000 MiB",
        "                                      peak at 875 ms ^",
        "cores      ▁▂▂▂▂▂▂▃▃▃▃▃▃▄▄▄▄▄▄▅▅▅▅▅▅▆▆▆▆▆▆▇▇▇▇▇▇███████████  0 to 2",
        "           0 s                                       1.00 s",
        "",
        "To run it again:",
        '  pytest "tests/test_shop.py::test_x[polars-1M]" --layers=polars --layers-sizes=1M',
    ]


def test_a_failure_of_a_plain_test_repeats_without_engine_and_size():
    result = case("test_x", outcome="failed", verdicts=[judged("failed", "too much")])
    assert text.failure(result) == (
        'too much\n\nTo run it again:\n  pytest "tests/test_shop.py::test_x"'
    )


@pytest.mark.parametrize(
    "odd", ["cost in $HOME", "`date`", 'say "hi"', "it's $5", "back\\\\slash", "!1"]
)
def test_a_failure_names_a_test_so_that_a_shell_takes_it_as_it_is(odd):
    nodeid = f"tests/test_shop.py::test_x[{odd}]"
    result = case("test_x", outcome="failed", verdicts=[judged("failed", "too much")])
    command = text.failure(result, nodeid=nodeid).splitlines()[-1].strip()
    assert command == f"pytest {shlex.quote(nodeid)}"


def test_every_limit_that_did_not_hold_is_in_the_failure():
    verdicts = [judged("failed", "first"), judged("inconclusive", "second")]
    result = case("test_x", outcome="failed", verdicts=verdicts)
    assert text.failure(result).splitlines()[:3] == ["first", "", "second"]


def test_a_drawing_fits_into_80_columns():
    assert max(len(line) for line in timeline.draw(RAMPED)) <= 80


def test_a_drawing_can_do_without_blocks():
    assert "\n".join(timeline.draw(RAMPED, ascii_only=True)).isascii()


PLACE = ("shop/reports.py", 41, "best")
AT_PEAK = CodeLine("peak", *PLACE, "polars.collect", 0.8, 5, 0.12, "x.collect()")
ALONE = CodeLine("one_core", *PLACE, "", 0.954, 20, 1.8, "")
FLOOR = Verdict(Limit("min_cores", "60%"), "failed", 1.2, 1.0, "too few", where=(ALONE,))


def said_before_running_again(*verdicts):
    result = case("test_it", outcome="failed", measurement=cost(), verdicts=verdicts)
    return text.failure(result).partition("To run")[0].rstrip().splitlines()


def test_a_broken_ceiling_names_the_line_at_the_peak():
    broken = dataclasses.replace(judged("failed", "first", "held then"), where=(AT_PEAK,))
    assert said_before_running_again(broken) == [
        "first",
        "running near the peak: shop/reports.py:41 in best (80% of the 120 ms near it, 5 stack samples)",
        "    x.collect()",
        "    within polars.collect",
        "held then",
    ]


def test_a_broken_floor_names_the_line_that_ran_alone():
    assert said_before_running_again(FLOOR) == [
        "too few",
        "running while one core worked alone: shop/reports.py:41 in best (95% of 1.80 s, 20 stack samples)",
    ]


def test_a_line_does_not_pass_for_what_an_engines_own_processes_ran():
    result = case("test_it", engine="ray", outcome="failed", measurement=cost(), verdicts=[FLOOR])
    note = "    (what the workers of ray ran is not seen)"
    assert note not in text.failure(result).splitlines()
    far = dataclasses.replace(result, case=dataclasses.replace(result.case, layer="cluster"))
    assert text.failure(far).splitlines()[2] == note


def test_an_early_peak_has_its_time_to_the_right():
    peak = timeline.draw(cost(timeline=RAMP, wall_seconds=1.0, peak_seconds=0.25))[1]
    assert peak == " " * (11 + 12) + "^ peak at 250 ms"


def test_a_flat_window_is_drawn_flat():
    flat = (Moment(0.0, 300 * MIB, 0.0), Moment(1.0, 300 * MIB, 9.0))
    drawn = timeline.draw(cost(timeline=flat, wall_seconds=1.0), ascii_only=True)
    assert drawn[0] == f"footprint  {'_' * 48}  300 MiB to 300 MiB"
    assert drawn[2] == f"cores      _{'#' * 47}  0 to 2"


@pytest.mark.parametrize("moments", [(), RAMP[:1]])
def test_a_window_without_readings_is_not_drawn(moments):
    assert timeline.draw(cost(timeline=moments)) == []


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (17_000_000, 50_000_000, "34% (17M of 50M rows)"),
        (1_234_567, 2_000_000, "62% (1.23M of 2M rows)"),
        (0, 10_000, "0% (0k of 10k rows)"),
        (7, 7, "100% (7 of 7 rows)"),
    ],
)
def test_progress_is_said_in_percent_and_rows(done, total, words):
    assert text.progress_line("sales 50M", done, total) == f"making sales 50M: {words}"
