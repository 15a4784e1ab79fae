"""A plugin that hands the memory ceilings of the corpus to another tool: `-p peer`, its name in `DETECTION_PEER`.

It stands in for pytest-layers, which is off meanwhile (`-p no:layers`): marks and fixtures of the same names are
there, `measured` narrows nothing. What each case came to is written to the file named in `DETECTION_OUTCOMES`; those
that it names already are left out.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
from pathlib import Path

import pytest
from peer_engines import ceiling_bytes, is_here

TOOL = os.environ["DETECTION_PEER"]
TOLD = Path(os.environ["DETECTION_OUTCOMES"])
MIB = 2**20
SIGNS = {
    "memray": ("was limited to", "allocation limit"),
    "benchmem": ("exceeds max_peak",),
    "isolate": (
        "MemoryError",
        "Cannot allocate memory",
        "unable to allocate",
        "resource limit exceeded",
        "exit code -6",
    ),
}
"""By which a tool's own failure is told from another one; libraries in C++ and Rust abort where memory is refused."""
_ROWS: dict[str, tuple[str, str]] = {}
_LIMITS: dict[str, float] = {}
"""In MiB, which is what pytest-monitor records."""


def pytest_addoption(parser):
    parser.addini("layers_cores", "of pytest-layers: passed over", default="")


def pytest_configure(config):
    for name in ("memory_ceiling", "min_cores", "min_speedup", "max_spill", "layers", "sizes"):
        config.addinivalue_line("markers", f"{name}(...): of pytest-layers")


@pytest.fixture
def measured():
    """No tool here has a window within a test."""
    return contextlib.nullcontext()


def pytest_collection_modifyitems(items):
    """Leave the cases with a ceiling that can run here, each with the tool's own mark."""
    items[:] = [
        item for item in items if item.get_closest_marker("memory_ceiling") and is_here(item)
    ]
    limits = {item.nodeid: ceiling_bytes(item) for item in items}
    _LIMITS.update({nodeid: limit / MIB for nodeid, limit in limits.items()})
    _ROWS.update(json.loads(TOLD.read_text()) if TOLD.exists() else {})
    items[:] = [item for item in items if item.nodeid not in _ROWS]
    for item in items:
        mark = mark_of(limits[item.nodeid])
        if mark is not None:
            item.add_marker(mark)
        if TOOL == "benchmem":
            item.fixturenames.append("benchmark")


def mark_of(limit_bytes):
    """The tool's mark for a limit; pytest-monitor has none, it records."""
    if TOOL == "memray":
        return pytest.mark.limit_memory(f"{limit_bytes / MIB:g} MB")
    if TOOL == "benchmem":
        return pytest.mark.benchmem(max_peak=f"{limit_bytes / MIB:g}MiB", warmup=0, repeats=1)
    if TOOL == "isolate":
        return pytest.mark.isolate(mem_limit=data_bytes() + int(limit_bytes))
    return None


def data_bytes():
    """What this process has of what `RLIMIT_DATA` counts: forks of it start with that."""
    status = Path("/proc/self/status").read_text()
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:")
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """pytest-benchmem measures what the `benchmark` fixture calls."""
    if TOOL != "benchmem":
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.funcargs["benchmark"].pedantic(pyfuncitem.obj, kwargs=given, rounds=1)
    return True


def pytest_runtest_logstart(nodeid):
    """Until it says more, the case hangs: one that did is not tried again."""
    _ROWS[nodeid] = ("hung", "")
    tell()


def pytest_runtest_logreport(report):
    """Keep the call's outcome, or that of a phase that failed."""
    if report.when == "call" or not report.passed:
        text = report.longreprtext + "".join(content for _, content in report.sections)
        told = any(sign.lower() in text.lower() for sign in SIGNS.get(TOOL, ()))
        outcome = "limit" if report.failed and told else report.outcome
        _ROWS[report.nodeid] = (outcome, report.longreprtext[-300:] if outcome == "failed" else "")
        tell()


def tell():
    """After each case: a tool may never come to the last."""
    TOLD.write_text(json.dumps(_ROWS))
    TOLD.with_name("limits.json").write_text(json.dumps(_LIMITS))
