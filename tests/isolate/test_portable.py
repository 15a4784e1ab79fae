"""Where there is no `/proc`: the same sessions, read through psutil and kept together by what was seen of them."""

import re
import subprocess
import sys
import textwrap

import pytest

from pytest_layers.isolate import launch
from pytest_layers.measure import portable
from pytest_layers.measure.host import FORCE_PSUTIL

MIB = 2**20


@pytest.fixture(autouse=True)
def psutil_only(monkeypatch):
    monkeypatch.setenv(FORCE_PSUTIL, "1")
    monkeypatch.setattr(launch, "EXACT", False)


def test_outcomes_are_those_of_any_other_session(inner):
    session = inner.run(
        """
        def test_passes(): pass
        def test_fails(): assert 1 == 2
        def test_aborts(): os.abort()
        def test_is_killed(): os.kill(os.getpid(), signal.SIGKILL)
        def test_hangs(): time.sleep(99)
        def test_prints():
            print("x" * 10_000_000)
            sys.stderr.write("y" * 10_000_000)
        def test_last(): pass
        """,
        "--layers-timeout=6s",
    )
    passed = {"test_passes", "test_prints", "test_last"}
    assert session.outcomes == {
        name: "passed" if name in passed else "failed" for name in session.outcomes
    }
    assert len(session.outcomes) == 7
    assert "ended with SIGABRT during call, " in session.failure("test_aborts")
    assert "stopped at the timeout of 6.00 s" in session.failure("test_hangs")
    assert "in test_hangs\n" in session.text, "the stack of the hanging thread"
    assert "assert 1 == 2" in session.failure("test_fails")
    assert "Fatal Python error: Aborted" in session.text


def test_what_goes_past_the_capture_is_kept_to_its_end(inner):
    session = inner.run(
        """
        def test_writes():
            os.write(1, b"z" * 10_000_000 + b"the last of it\\n")
            os.abort()
        def test_last(): pass
        """,
        "--capture=sys",
    )
    assert session.outcomes == {"test_writes": "failed", "test_last": "passed"}
    assert "zzzthe last of it" in session.text


def test_growth_is_judged(inner):
    session = inner.run(
        """
        def hold(size, seconds=0.5):
            block = b"x" * (size << 20)
            time.sleep(seconds)
            return block
        @pytest.mark.memory_ceiling("400MiB", of="growth")  # psutil tells no page faults on Linux
        def test_under(): hold(100)
        @pytest.mark.memory_ceiling("90MiB", of="growth")
        def test_over(): hold(100)
        @pytest.mark.memory_ceiling("150MiB", of="growth")
        def test_in_a_child():
            code = "import time; block = b'x' * (200 << 20); time.sleep(0.8)"
            subprocess.run([sys.executable, "-S", "-c", code], check=True)
        @pytest.mark.memory_ceiling("100MiB", of="growth")
        def test_runs_away():
            blocks = []
            while True:
                blocks.append(hold(20, 0.05))
        """
    )
    assert session.outcomes == {
        "test_under": "passed",
        "test_over": "failed",
        "test_in_a_child": "failed",
        "test_runs_away": "failed",
    }
    assert re.search(
        r"memory growth (of at least )?\d+.* MiB is over the ceiling of 90.0 MiB",
        session.failure("test_over"),
    )
    assert "stopped" in session.failure("test_runs_away")
    assert portable.CANNOT[0] in session.failure("test_over")


def test_the_bracket_holds_what_was_held(supervise):
    measured = supervise("mark('begin'); hold(200 * MIB, 0.5); mark('end')").measured
    assert measured.growth.lower_bytes <= 200.5 * MIB
    assert measured.growth.upper_bytes >= 200 * MIB
    assert measured.growth.lower_bytes >= 195 * MIB
    assert portable.CANNOT[0] in measured.notes


def test_a_burst_between_two_readings_is_within_the_bracket(supervise):
    body = "mark('begin'); time.sleep(0.2); hold(200 * MIB, 0); time.sleep(0.2); mark('end')"
    measured = supervise(body).measured
    assert measured.growth.lower_bytes <= 201 * MIB
    assert measured.growth.upper_bytes >= 200 * MIB


def test_cpu_of_the_tree_is_counted(supervise):
    body = """
    def main():
        mark("begin")
        code = "import time\\nwhile time.process_time() < 0.6: pass"
        subprocess.run([sys.executable, "-S", "-c", code], check=True)
        burn(0.4)
        mark("end")
    """
    measured = supervise(body).measured
    assert 0.9 <= measured.cpu_seconds <= 1.3
    assert measured.cores_wanted_lower <= 1.05


def test_orphans_are_ended(inner):
    session = inner.run("""
        def test_orphan():
            orphan = f"import time; time.sleep(99)  # {tag}"
            start = f"subprocess.Popen([sys.executable, '-S', '-c', {orphan!r}])"
            parent = f"import subprocess, sys, time; {start}; time.sleep(1)"
            subprocess.run([sys.executable, "-S", "-c", parent], check=True)
    """)
    assert session.outcomes == {"test_orphan": "passed"}


def test_one_that_was_never_seen_below_the_case_is_ended(inner):
    session = inner.run("""
        def test_orphan():
            if not os.fork():
                if not os.fork():
                    time.sleep(99)
                os._exit(0)
            os.wait()
    """)
    assert session.outcomes == {"test_orphan": "passed"}


def test_what_can_not_be_held_to_one_core_is_not_judged(inner):
    (inner.sandbox.folder / "conftest.py").write_text("import os\ndel os.sched_setaffinity\n")
    session = inner.run("""
        @pytest.mark.min_speedup(1.5)
        def test_speedup():
            last = time.monotonic() + 0.3
            while time.monotonic() < last: pass
    """)
    assert session.outcomes == {"test_speedup": "inconclusive"}
    assert "min_speedup 1.5 not judged: this" in session.text


def test_nothing_is_asked_of_the_kernel_that_windows_has_not():
    """All modules can be imported where what only Unix has is missing."""
    code = """
        import argparse, os, pkgutil, signal, sys
        import psutil, pytest, pluggy, pyarrow, filelock, platformdirs, rich, numpy
        import multiprocessing, subprocess, tempfile, select, ctypes, socket, shutil, ssl, asyncio, pydoc
        for module, names in {
            os: "sysconf pread sched_getaffinity sched_setaffinity getuid fork setsid pipe2 waitid wait4 statvfs "
                "register_at_fork O_CLOEXEC O_NONBLOCK clock_gettime_ns WNOHANG WNOWAIT getxattr",
            signal: "SIGKILL SIGSTOP SIGCONT SIGCHLD pthread_sigmask",
            select: "poll",
        }.items():
            for name in names.split():
                if hasattr(module, name):
                    delattr(module, name)
        sys.platform = "win32"
        sys.modules["resource"] = sys.modules["fcntl"] = None
        import pytest_layers
        for found in pkgutil.walk_packages(pytest_layers.__path__, "pytest_layers."):
            __import__(found.name)
        from pytest_layers.measure import host, portable
        assert host.system is portable
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
