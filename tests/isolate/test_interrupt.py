"""The session itself is interrupted or killed: what ran is told where pytest still can, and nothing is left."""

import os
import signal
import time

import pytest

CODE = """
def test_first(): pass

def test_under_way():
    code = f"import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(99)  # {tag}"
    subprocess.Popen([sys.executable, "-S", "-c", code], env={}, start_new_session=True)
    made = shared_memory.SharedMemory(f"held-{tag}", create=True, size=1 << 20)
    time.sleep(0.3)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open("ready", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(99)

def test_never_reached(): pass
"""


@pytest.mark.parametrize("capture", ["--capture=fd", "-s"])
@pytest.mark.parametrize("whom", ["group", "pytest"])
def test_ctrl_c(inner, sandbox, whom, capture):
    process = inner.start(CODE, capture)
    inner.await_file("ready")
    (os.killpg if whom == "group" else os.kill)(process.pid, signal.SIGINT)
    session = inner.finish(process)
    sandbox.assert_nothing_left()
    assert session.status == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in session.text
    assert "1 passed" in session.text
    assert session.outcomes == {"test_first": "passed"}
    assert list(session.junit) == ["test_first"]


def test_ctrl_c_twice(inner, sandbox):
    """An impatient user: pytest may go down at once, the supervisor finishes alone."""
    process = inner.start(CODE)
    inner.await_file("ready")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    session = inner.finish(process)
    assert session.status != 0
    sandbox.assert_nothing_left(10)


def test_ctrl_c_while_a_case_starts(inner, sandbox):
    process = inner.start("def test_one(): pass\ndef test_two(): pass\n")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    inner.finish(process)
    sandbox.assert_nothing_left(10)


def test_ctrl_c_while_data_are_being_made(inner, sandbox):
    code = """
    def batches(rows):
        import pyarrow
        for number in range(999):
            yield pyarrow.record_batch({"a": [number]})
            open("ready", "w").close()
            time.sleep(0.1)

    def test_it(dataset): dataset("slow", batches, rows=999)
    """
    process = inner.start(code)
    inner.await_file("ready")
    os.killpg(process.pid, signal.SIGINT)
    assert inner.finish(process).status == pytest.ExitCode.INTERRUPTED
    sandbox.assert_nothing_left()
    assert list((sandbox.folder / "cache" / "half").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_pytest_is_killed(inner, sandbox, number):
    process = inner.start(CODE, "-s")
    inner.await_file("ready")
    process.send_signal(number)
    session = inner.finish(process)
    assert session.status == -number
    sandbox.assert_nothing_left(10)


def test_a_test_kills_pytest(inner, sandbox):
    code = """
    def test_kills():
        subprocess.Popen(["sleep", "99"], start_new_session=True)
        with open(f"/proc/{os.getppid()}/stat") as stat:
            os.kill(int(stat.read().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
        time.sleep(99)
    """
    session = inner.finish(inner.start(code))
    assert session.status == -signal.SIGKILL
    sandbox.assert_nothing_left(10)


def test_pytest_is_held(inner, sandbox):
    """Ctrl-Z and back: the case goes on meanwhile, and nothing is lost."""
    process = inner.start("def test_one():\n    open('ready', 'w').close()\n    time.sleep(0.3)\n")
    inner.await_file("ready")
    process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    process.send_signal(signal.SIGCONT)
    session = inner.finish(process)
    sandbox.assert_nothing_left()
    assert session.outcomes == {"test_one": "passed"}


XDIST = ("-p", "xdist.plugin", "-n2")


def test_xdist(inner):
    """Deaths in workers are failed tests; a worker that is killed fails its test, and leaves nothing."""
    pytest.importorskip("xdist")
    session = inner.run(
        """
        def worker():
            with open(f"/proc/{os.getppid()}/stat") as stat:
                return int(stat.read().rsplit(")", 1)[1].split()[1])

        def test_aborts(): os.abort()
        def test_kills_supervisor():
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(9)
        def test_kills_worker():
            subprocess.Popen(["sleep", "99"], start_new_session=True)
            os.kill(worker(), signal.SIGKILL)
            time.sleep(99)
        @pytest.mark.parametrize("number", range(4))
        def test_passes(number): pass
        """,
        *XDIST,
    )
    assert session.status == 1
    assert "ended with SIGABRT during call" in session.failure("test_aborts")
    assert "was ended by SIGKILL during call" in session.failure("test_kills_supervisor")
    assert "crashed while running 'test_inner.py::test_kills_worker'" in session.text
    assert "3 failed, 4 passed" in session.text
    assert sum(outcome == "passed" for outcome in session.outcomes.values()) == 4


def test_xdist_ctrl_c(inner, sandbox):
    pytest.importorskip("xdist")
    process = inner.start(CODE, *XDIST)
    inner.await_file("ready")
    os.killpg(process.pid, signal.SIGINT)
    session = inner.finish(process)
    assert session.status == pytest.ExitCode.INTERRUPTED
    sandbox.assert_nothing_left(10)
