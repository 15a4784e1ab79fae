"""The pytest plugin: hooks in the order of a test's life. Nothing heavy is imported before there is a case."""

from __future__ import annotations

import contextlib
import faulthandler
import shutil
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_layers import fixtures, hookspec, settings, state
from pytest_layers.errors import LayersError
from pytest_layers.session_report import SessionReport

if TYPE_CHECKING:
    from pytest_layers.cases import Plan
    from pytest_layers.engines.catalog import Catalog
    from pytest_layers.runner import Runner

RUNNER: pytest.StashKey[Runner] = pytest.StashKey()
FAULTS: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""On a collector: what is wrong with the marks of its tests, by test name."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare flags and ini keys."""
    settings.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare what others may implement."""
    pluginmanager.add_hookspecs(hookspec)


def pytest_configure(config: pytest.Config) -> None:
    """Check what was asked for, before anything is collected."""
    from pytest_layers.marks import TEXTS

    for line in TEXTS:
        config.addinivalue_line("markers", line)
    config.stash[state.SETTINGS] = settings.resolve(config)
    config.pluginmanager.register(fixtures, "layers-fixtures")
    if not (_is_child(config) or hasattr(config, "workerinput") or config.option.collectonly):
        config.pluginmanager.register(SessionReport(config, _prepare), "layers-session-report")
    if any(settings.source_of(config, name) for name in ("layers", "cores")):
        _prepare(config)


def _prepare(config: pytest.Config) -> None:
    """Complete the settings and build the catalog: once, for the first case, or where engines or cores are set.

    Raises:
        pytest.UsageError: an engine is unknown or, asked for by name, can't run here; or too many cores are set.
    """
    if state.CATALOG in config.stash:
        return
    from pytest_layers.measure.machine import available_cores

    chosen = settings.completed(config.stash[state.SETTINGS], config, available_cores())
    catalog = _catalog(config)
    with _as_usage_error():
        catalog.select(chosen.layers, source=chosen.layers_source)
    config.stash[state.SETTINGS], config.stash[state.CATALOG] = chosen, catalog
    measures = not (_is_child(config) or config.getoption("setupplan", False))
    if chosen.isolation == "none" and measures:
        from pytest_layers.in_place import InPlace

        config.pluginmanager.register(InPlace(_runner(config)), "layers-in-place")


def _catalog(config: pytest.Config) -> Catalog:
    from pytest_layers.engines import catalog

    with _as_usage_error():
        return catalog.build(_found_engines(config))


@contextlib.contextmanager
def _as_usage_error() -> Iterator[None]:
    try:
        yield
    except LayersError as error:
        raise pytest.UsageError(str(error)) from None


def _is_child(config: pytest.Config) -> bool:
    """Whether this process was started to run one case."""
    return config.pluginmanager.hasplugin("layers-child")


def _runner(config: pytest.Config) -> Runner:
    if RUNNER not in config.stash:
        from pytest_layers.report.progress import TerminalProgress
        from pytest_layers.runner import Runner

        config.stash[RUNNER] = Runner(config, TerminalProgress(config))
    return config.stash[RUNNER]


def _found_engines(config: pytest.Config) -> list[tuple[str, object]]:
    """The engines that each plugin gave, with the plugin's name; the built-in ones come through the same hook."""
    from pytest_layers import engines

    if not config.pluginmanager.is_registered(engines):
        config.pluginmanager.register(engines, "layers-engines")
    found = config.hook.pytest_layers_engines.get_hookimpls()
    built_in_first = sorted(found, key=lambda impl: impl.plugin is not engines)
    return [(impl.plugin_name, impl.function()) for impl in built_in_first]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """`--layers-list`: show which engines can run here, and exit."""
    if not config.getoption("layers_option_list"):
        return None
    from pytest_layers.report.text import engines_table

    colour = config.getoption("color", "auto")
    coloured = colour == "yes" or (colour == "auto" and sys.stdout.isatty())
    listing, width = _catalog(config).listing(), shutil.get_terminal_size().columns
    print(*engines_table(listing, width=width, colour=coloured), sep="\n")  # noqa: T201
    return 0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Spread tests over engines and sizes."""
    if not _concerns_us(metafunc.definition, metafunc.fixturenames):
        return
    from pytest_layers import cases

    try:
        _prepare(metafunc.config)
        cases.parametrize(metafunc)
    except (LayersError, pytest.UsageError) as error:
        collector = metafunc.definition.parent
        assert collector is not None
        collector.stash.setdefault(FAULTS, {})[metafunc.definition.name] = str(error)


def _concerns_us(item: pytest.Item, fixturenames: Any) -> bool:
    """Whether a test asks for one of our fixtures or carries one of our marks."""
    from pytest_layers.marks import NAMES

    if any(name.startswith("_layers_") for name in fixturenames):
        return True
    return any(mark.name in NAMES for mark in item.iter_markers())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Remember every test's id and plan every case; all wrong marks of a file are reported at once."""
    report = yield
    faults = []
    for item in (node for node in report.result or () if isinstance(node, pytest.Item)):
        state.collected_id(item)
        if _concerns_us(item, getattr(item, "fixturenames", ())):
            faults += _plan(item)
    if faults and report.passed:
        report.outcome = "failed"
        report.longrepr = "\n".join(dict.fromkeys(faults))
        report.result = []
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Plan again: other plugins' hooks may have added or removed marks since."""
    yield
    has_cases = state.CATALOG in session.config.stash
    faults: dict[str, list[str]] = {}
    for item in tuple(items):
        concerns_us = has_cases or _concerns_us(item, getattr(item, "fixturenames", ()))
        if concerns_us and (found := _plan(item)):
            faults.setdefault(item.nodeid.partition("::")[0], []).extend(found)
            items.remove(item)
    for file, found in faults.items():  # a usage error would not get out of a worker of xdist
        report = pytest.CollectReport(file, "failed", "\n".join(dict.fromkeys(found)), [])
        session.ihook.pytest_collectreport(report=report)


def _plan(item: pytest.Item) -> list[str]:
    """Put a plan on an item, if it is a case; gives what is wrong with its marks."""
    from pytest_layers import cases

    name = getattr(item, "originalname", item.name)
    known = item.parent.stash.get(FAULTS, {}) if item.parent else {}
    if name in known:
        return [known[name]]
    try:
        _prepare(item.config)
        plan = cases.plan_of(item)
    except (LayersError, pytest.UsageError) as error:
        return [str(error)]
    if plan is not None:
        item.stash[cases.PLAN] = plan
    elif cases.PLAN in item.stash:
        del item.stash[cases.PLAN]
    return []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a case in a process of its own; leave any other test to pytest."""
    plan = _plan_to_run(item)
    if plan is None:
        return None
    _stop_faulthandlers_clock(item.config)
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _runner(item.config).run(item, plan):
        report.nodeid = item.nodeid  # the case's process knows no group of xdist's
        if hasattr(report, "rerun"):
            # Rerunfailures looks for flaky tests by this attribute of its own, which pytest's items have not.
            item.execution_count = report.rerun + 1  # type: ignore[attr-defined]
        hook.pytest_runtest_logreport(report=report)
    _tear_down(item, nextitem)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _stop_faulthandlers_clock(config: pytest.Config) -> None:
    """`faulthandler_timeout` counts in the case's own process; a clock that runs without it is somebody else's."""
    if config.pluginmanager.hasplugin("faulthandler") and config.getini("faulthandler_timeout"):
        faulthandler.cancel_dump_traceback_later()


def _tear_down(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Tear down what plain tests before this case set up for its file or folder, if the next test is in another one.

    Only pytest's own runner is called, with output captured: other plugins never began anything for this item.
    """
    manager = item.config.pluginmanager
    its_own = {manager.get_plugin("runner"), manager.get_plugin("capturemanager")}
    others = manager.get_plugins() - its_own
    tear_down = manager.subset_hook_caller("pytest_runtest_teardown", others)
    call = pytest.CallInfo.from_call(
        lambda: tear_down(item=item, nextitem=nextitem),
        "teardown",
        reraise=(KeyboardInterrupt, pytest.exit.Exception),
    )
    if call.excinfo:
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        item.ihook.pytest_runtest_logreport(report=report)


def _plan_to_run(item: pytest.Item) -> Plan | None:
    """The plan of an item that is to run in a process of its own; None for any other, also for a plain skip."""
    config = item.config
    if state.CATALOG not in config.stash or _is_child(
        config
    ):  # no case was met, or this is its process
        return None
    if item.get_closest_marker("skip") or config.stash[state.SETTINGS].isolation == "none":
        return None
    from pytest_layers.cases import PLAN

    return item.stash.get(PLAN, None)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item) -> bool | None:
    """pytest-timeout's clock runs in the case's own process: here a case may wait for its turn."""
    return None if _plan_to_run(item) is None else True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record a case that was skipped before it had a process; fail one that passed without a process of its own."""
    report = yield
    if report.skipped and report.when == "setup" and not hasattr(report, "layers"):
        _note_skip(item, report)
    elif report.passed and report.when == "call":
        _refuse_unjudged(item, report)
    return report


def _refuse_unjudged(item: pytest.Item, report: pytest.TestReport) -> None:
    plan = _plan_to_run(item)
    if plan is None:
        return
    from pytest_layers.outcome import refuse
    from pytest_layers.records import CaseResult

    result = CaseResult(plan.case, "", limits=plan.limits)
    refuse(item, report, result, fixtures.RUN_BY_ANOTHER)


def _note_skip(item: pytest.Item, report: pytest.TestReport) -> None:
    if state.CATALOG not in item.config.stash:
        return
    from pytest_layers.cases import PLAN
    from pytest_layers.outcome import conclude
    from pytest_layers.records import CaseResult

    plan = item.stash.get(PLAN, None)
    if plan is not None:
        conclude(item, [report], CaseResult(plan.case, "", limits=plan.limits), strict=False)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, Any] | None:
    """An inconclusive case has its own letter and word."""
    if report.when == "call" and report.passed and getattr(report, "layers_inconclusive", False):
        return "inconclusive", "I", ("INCONCLUSIVE", {"yellow": True})
    return None


def pytest_unconfigure(config: pytest.Config) -> None:
    """End a kept engine, and release the data sets in use."""
    if RUNNER in config.stash:
        config.stash[RUNNER].close()
    if state.STORE in config.stash:
        config.stash[state.STORE].close()
