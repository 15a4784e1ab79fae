"""Engines that start processes, cut off at a bad moment: of none of them is anything left."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from pytest_layers.engines import BUILTIN

SHARED = Path("/dev/shm")
ENGINES = [engine for engine in BUILTIN if engine.starts_processes]
CODE = """
import contextlib, json, psutil

def busy(engine, sales):
    # Collected over and over, so that it is at work when it is cut off; its processes are told first.
    told = []
    for one in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            told.append((one.pid, one.create_time(), one.name()))
    with open(f"tree-{os.getpid()}", "w") as file:
        json.dump(told, file)
    while True:
        engine.collect(engine.scan(sales))

@pytest.mark.sizes("50k")
def test_killed(engine, sales):
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGKILL)).start()
    busy(engine, sales)

@pytest.fixture
def bomb():
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGKILL)).start()

def test_before_its_start(bomb, engine):
    time.sleep(10)
"""
BUSY = (
    CODE.partition("@pytest")[0]
    + """
@pytest.mark.sizes("50k")
def test_goes_on(engine, sales):
    threading.Timer(0.5, open, ("ready", "w")).start()
    busy(engine, sales)
"""
)

pytestmark = pytest.mark.real


@pytest.fixture(params=ENGINES, ids=[engine.name for engine in ENGINES])
def engine(request):
    if request.param.obstacle():
        pytest.skip(request.param.obstacle())
    return request.param


def told_processes(sandbox):
    """Process id, time of creation and name of all that the tests had started."""
    files = list(sandbox.folder.glob("tree-*"))
    assert files
    return [tuple(one) for file in files for one in json.loads(file.read_text())]


def still_there(processes):
    found = []
    for pid, created, name in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                found.append((pid, name))
    return found


def assert_nothing_left(sandbox, shared_before):
    processes = told_processes(sandbox)
    assert len(processes) > 1
    assert still_there(processes) == []
    assert list(sandbox.temp.iterdir()) == []
    assert set(SHARED.iterdir()) <= shared_before
    sandbox.assert_nothing_left()


def test_killed(engine, inner, sandbox):
    shared = set(SHARED.iterdir())
    session = inner.run(CODE, f"--layers={engine.name}", "--layers-timeout=90s")
    outcomes = {name.partition("[")[0]: outcome for name, outcome in session.outcomes.items()}
    assert outcomes == {
        "test_killed": "failed",
        "test_before_its_start": "error",
    }
    (killed,) = [name for name in session.outcomes if name.startswith("test_killed")]
    assert "SIGKILL" in session.failure(killed)
    assert_nothing_left(sandbox, shared)


def test_ctrl_c(engine, inner, sandbox):
    shared = set(SHARED.iterdir())
    process = inner.start(BUSY, f"--layers={engine.name}", "--layers-timeout=90s")
    inner.await_file("ready", 60)
    os.killpg(process.pid, signal.SIGINT)
    session = inner.finish(process)
    assert session.status == pytest.ExitCode.INTERRUPTED
    time.sleep(0.5)
    assert_nothing_left(sandbox, shared)
