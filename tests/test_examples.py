"""The examples as their users run them: what is good passes, and every regression is caught by its limit."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import filterfalse
from pathlib import Path

import pytest

from pytest_layers.engines import BUILTIN
from pytest_layers.records import CaseResult, Run
from pytest_layers.report import document
from pytest_layers.settings import default_cache_dir, resolve

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[1] / "examples"
RUNNABLE = {engine.name for engine in BUILTIN if engine.obstacle() is None}
ONE_CORE = {"pandas", "pandas-arrow"}
"""They have no cores to lose."""

REGRESSIONS = {
    ("test_join_first", "pandas"): "memory_ceiling",
    ("test_join_first", "pandas-arrow"): "memory_ceiling",
    ("test_copy_first", "pandas"): "memory_ceiling",
    ("test_table_first", "arrow"): "memory_ceiling",
    ("test_batch_by_batch", "arrow"): "min_cores",
    ("test_collect_first", "polars"): "memory_ceiling",
    ("test_call_for_each_row", "polars"): "min_cores",
    ("test_loop_over_rows", "polars"): "min_cores",
    ("test_collect_first", "polars-streaming"): "memory_ceiling",
    ("test_call_for_each_row", "polars-streaming"): "min_cores",
    ("test_loop_over_rows", "polars-streaming"): "min_cores",
    ("test_values_first", "vaex"): "memory_ceiling",
    ("test_apply_to_each_row", "vaex"): "memory_ceiling",
    ("test_loop_over_values", "vaex"): "min_cores",
    ("test_fetch_first", "duckdb"): "memory_ceiling",
    ("test_one_thread", "duckdb"): "min_cores",
    ("test_compute_first", "dask"): "memory_ceiling",
    ("test_one_partition", "dask"): "min_cores",
    ("test_without_cluster", "dask"): "min_cores",
    ("test_pandas_first", "modin-ray"): "memory_ceiling",
    ("test_pandas_first", "modin-dask"): "memory_ceiling",
    ("test_one_partition", "modin-ray"): "min_cores",
    ("test_one_partition", "modin-dask"): "min_cores",
    ("test_fetch_first", "ray"): "memory_ceiling",
    ("test_captured", "ray"): "memory_ceiling",
    ("test_get_in_a_loop", "ray"): "min_cores",
    ("test_to_pandas_first", "spark"): "memory_ceiling",
    ("test_one_partition", "spark"): "min_cores",
    ("test_call_for_each_row", "spark"): "memory_ceiling",
    ("test_counted", None): "memory_ceiling",
}
"""Test and engine of each, and the kind of the limit that must catch it."""


@dataclass(frozen=True)
class Session:
    status: int
    output: str
    run: Run

    def cases(self, *, regressions: bool) -> list[CaseResult]:
        """Those that could run here, of one kind or the other."""
        return [
            result
            for result in self.run.cases
            if result.outcome != "skipped"
            and result.case.nodeid.startswith("regressions/") == regressions
        ]


def run(config: pytest.Config, folder: Path, *args: object) -> Session:
    """A run of its own; its data are kept where those of this run are, as they take a gigabyte."""
    report = folder / "run.json"
    cache = resolve(config).cache_dir or default_cache_dir()
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", *args),
            f"--layers-report={report}",
            f"--layers-cache-dir={cache}",
            *("-p", "no:cacheprovider"),
        ],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert report.exists(), ended.stdout
    return Session(ended.returncode, ended.stdout, document.read(report))


@pytest.fixture(scope="module")
def session(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One run over all engines."""
    folder = tmp_path_factory.mktemp("examples")
    return run(pytestconfig, folder, EXAMPLES, "--layers=all", "--xfail-tb")


def name_of(result: CaseResult) -> tuple[str, str | None]:
    return result.case.nodeid.partition("::")[2].partition("[")[0], result.case.engine


def kinds(result: CaseResult, outcome: str) -> set[str]:
    return {verdict.limit.kind for verdict in result.verdicts if verdict.outcome == outcome}


def is_unsure(result: CaseResult) -> bool:
    """Whether others on this machine took the cores by which it was to be judged."""
    return any(verdict.text.endswith("others took the cores") for verdict in result.verdicts)


def skip_if_any(unsure: list[CaseResult]) -> None:
    if unsure:
        names = ", ".join(result.case.nodeid for result in unsure)
        pytest.skip(f"the machine is too busy to judge the cores of {names}")


def test_passes_as_a_whole(session):
    wrong = [one for one in session.run.cases if one.outcome in {"failed", "error", "xpassed"}]
    if wrong and all(map(is_unsure, wrong)):
        skip_if_any(wrong)
    assert session.status == pytest.ExitCode.OK, session.output


def test_every_engine_takes_part(session):
    for regressions in (False, True):
        cases = session.cases(regressions=regressions)
        assert {result.case.engine for result in cases} - {None} == RUNNABLE


def test_what_is_good_passes_every_limit(session):
    cases = session.cases(regressions=False)
    for result in filterfalse(is_unsure, cases):
        assert result.outcome == "passed", (name_of(result), result.reason)
        assert result.verdicts
        texts = [verdict.text for verdict in result.verdicts if verdict.outcome != "passed"]
        assert texts == [], name_of(result)
    skip_if_any(list(filter(is_unsure, cases)))


def test_every_regression_is_caught_by_its_limit(session):
    caught = {name_of(result): result for result in session.cases(regressions=True)}
    expected = {name for name in REGRESSIONS if name[1] in RUNNABLE | {None}}
    assert set(caught) == expected
    unsure = [result for result in caught.values() if is_unsure(result)]
    for name, result in caught.items():
        if result not in unsure:
            texts = [verdict.text for verdict in result.verdicts]
            assert result.outcome == "xfailed", (name, result.reason)
            assert REGRESSIONS[name] in kinds(result, "failed"), (name, texts)
    skip_if_any(unsure)


def test_no_regression_fails_by_an_error(session):
    """An xfail takes any failure for the expected one; only a limit's text has no `E` lines."""
    expected_failures = session.output.partition("= XFAILURES =")[2]
    assert expected_failures
    assert re.findall(r"^E  .*", expected_failures, re.MULTILINE) == []


@pytest.mark.parametrize("engine", sorted(RUNNABLE))
def test_each_engine_has_regressions_of_each_kind(session, engine):
    cases = [r for r in session.cases(regressions=True) if r.case.engine == engine]
    skip_if_any(list(filter(is_unsure, cases)))
    broken = set().union(*(kinds(result, "failed") for result in cases))
    expected = {"memory_ceiling"} if engine in ONE_CORE else {"memory_ceiling", "min_cores"}
    assert broken == expected


def test_the_example_of_the_readme_passes(pytestconfig, tmp_path):
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(import pytest\n.*?)```", readme, re.DOTALL)
    (tmp_path / "test_readme.py").write_text(code, encoding="utf-8")
    ran = run(pytestconfig, tmp_path, "-o", f"pythonpath={EXAMPLES}", "--layers=arrow")
    [result] = ran.run.cases
    skip_if_any([result] if is_unsure(result) else [])
    assert result.outcome == "passed", ran.output
    assert kinds(result, "passed") == {"memory_ceiling", "min_cores"}
