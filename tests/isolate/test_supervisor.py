"""The supervisor by itself, driven by small scripts that speak the wire."""

import os
import signal
import sys
import time

import pytest

from pytest_layers.errors import ChildFailed
from pytest_layers.isolate import launch
from pytest_layers.isolate.supervise import HANDED_ON
from pytest_layers.isolate.wire import Decoder, decode, encode, kind_of
from pytest_layers.measure import machine

MIB = 2**20
RUN_AWAY = """
    blocks = []
    mark("begin")
    for _ in range(4000):
        blocks.append(b"x" * MIB)
    mark("end")
"""


def test_a_window(supervise):
    told = supervise("""
        send("data", rows=3, arrow_bytes=4)
        mark("begin")
        hold(50 * MIB, 0.3)
        mark("end")
        send("done")
        sys.exit(3)
    """)
    assert [message["kind"] for message in told.messages] == ["data", "findings", "done", "ended"]
    assert told.of("findings")[0]["finished"]
    growth = told.measured.growth
    assert 49 * MIB < growth.lower_bytes <= growth.upper_bytes < 55 * MIB
    assert 0.29 < told.measured.wall_seconds < 2
    assert told.ended["status"] == 3


def test_death_in_the_window_still_has_findings(supervise):
    told = supervise("""
        mark("begin")
        block = b"x" * (50 * MIB)
        time.sleep(0.3)
        os.abort()
    """)
    assert not told.of("findings")[0]["finished"]
    assert told.measured.growth.lower_bytes > 49 * MIB
    assert 50 * MIB < told.ended["footprint_bytes"] < 70 * MIB
    assert told.ended["status"] == -signal.SIGABRT


@pytest.mark.parametrize("stop_at", [(300 * MIB, None), (None, 300 * MIB), (10**12, 300 * MIB)])
def test_stopped_at_its_line(supervise, stop_at):
    told = supervise(RUN_AWAY, stop_at=stop_at)
    (stopped,) = told.of("stopped")
    assert stopped["why"] == "memory"
    assert 300 * MIB <= stopped["limit_bytes"] < 320 * MIB
    assert stopped["limit_bytes"] < stopped["footprint_bytes"] < 600 * MIB
    assert not told.of("findings")[0]["finished"]
    assert told.ended["status"] == -signal.SIGKILL


def test_growth_line_holds_in_the_window_only(supervise):
    told = supervise(
        """
        block = b"x" * (200 * MIB)
        time.sleep(0.2)
        mark("begin")
        mark("end")
        time.sleep(0.2)
        """,
        stop_at=(50 * MIB, None),
    )
    assert told.ended["status"] == 0
    assert not told.of("stopped")


def test_many_small_ones_together_are_stopped(supervise):
    """The line is the tree's, not that of one process; and it is drawn by memory, not by its reservation."""
    told = supervise(
        """
        import mmap
        reserved = mmap.mmap(-1, 10**10, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for _ in range(40):
            if os.fork() == 0:
                hold(20 * MIB, 20)
            time.sleep(0.01)
        time.sleep(20)
        """,
        stop_at=(None, 400 * MIB),
    )
    (stopped,) = told.of("stopped")
    assert 400 * MIB < stopped["footprint_bytes"] < 600 * MIB


def test_a_hard_limit_holds_from_the_start_on(supervise):
    """Before any window; by the kernel where this session is in a cgroup that was handed over to it."""
    told = supervise(
        """
        blocks = [b"x" * MIB for _ in range(4000)]
        """,
        hard_limit_bytes=300 * MIB,
    )
    limit = told.ended["hard_limit"]
    assert limit["limit_bytes"] == 300 * MIB
    assert told.ended["status"] == -signal.SIGKILL
    if limit["kept_by"] == "kernel":
        assert limit["kills"] == 1
    else:
        (stopped,) = told.of("stopped")
        assert (stopped["why"], stopped["limit_bytes"]) == ("hard_limit", 300 * MIB)
        ((_, _, held),) = stopped["held"]
        assert held > 300 * MIB


def test_within_its_hard_limit_a_case_goes_on(supervise):
    told = supervise("hold(100 * MIB, 0.2)", hard_limit_bytes=400 * MIB)
    assert told.ended["status"] == 0
    assert told.ended["hard_limit"]["kills"] == 0
    assert not told.of("stopped")


def test_forks_near_their_hard_limit_go_on(supervise):
    """They are held for the moments in which it is read that they are still within it."""
    told = supervise(
        """
        def churn():
            for _ in range(40):
                hold(20 * MIB, 0.005)

        def main():
            shared = b"x" * (100 * MIB)
            mark("begin")
            for _ in range(3):
                if os.fork() == 0:
                    churn()
                    os._exit(0)
            for _ in range(3):
                assert os.wait()[1] == 0
            mark("end")
        """,
        hard_limit_bytes=400 * MIB,
    )
    assert told.ended["status"] == 0
    assert not told.of("stopped")


def test_without_a_hard_limit_none_is_told(supervise):
    assert supervise("pass").ended["hard_limit"] is None


def test_stopped_before_the_machine_is_full(supervise):
    """Without a ceiling, at what the machine can spare; here all but 300 MiB of it is kept back."""
    reserve = machine.memory_spare_bytes() - 300 * MIB
    told = supervise(RUN_AWAY, reserve_bytes=reserve)
    (stopped,) = told.of("stopped")
    assert stopped["why"] == "machine"
    assert stopped["footprint_bytes"] < 1500 * MIB
    assert told.ended["status"] == -signal.SIGKILL


def test_stopped_at_once_on_a_full_machine(supervise):
    told = supervise(RUN_AWAY, reserve_bytes=2**60)
    (stopped,) = told.of("stopped")
    assert stopped["why"] == "machine"
    assert stopped["footprint_bytes"] < 200 * MIB


def test_timeout(supervise):
    started = time.monotonic()
    told = supervise("time.sleep(99)", timeout_seconds=0.5)
    assert 0.4 < time.monotonic() - started < 5
    (stopped,) = told.of("stopped")
    assert (stopped["why"], stopped["timeout_seconds"]) == ("timeout", 0.5)


def test_what_was_left_is_told(supervise):
    told = supervise("""
        from multiprocessing import shared_memory
        made = shared_memory.SharedMemory(f"left-{tag}", create=True, size=MIB)
        descriptor = os.open(f"/dev/shm/file-{tag}", os.O_CREAT | os.O_RDWR)
        os.write(descriptor, b"x" * MIB)
        child = subprocess.Popen(["sleep", "99"])
        time.sleep(0.4)
        mark("begin")  # the supervisor has looked, however late its readings came
        os._exit(0)
    """)
    assert told.ended["left"] == ["sleep 99"]
    assert [path.partition("-")[0] for path in told.ended["segments"]] == ["/dev/shm/file"]


def test_only_the_end_of_the_output_is_kept(supervise):
    told = supervise("""
        os.write(1, b"a" * 10 * MIB)
        os.write(2, b"b" * 10 + b"the end")
    """)
    assert told.ended["tail"].endswith("abbbbbbbbbbthe end")
    assert 60_000 < len(told.ended["tail"]) <= 65_536


def test_a_huge_message(supervise):
    told = supervise("""send("report", report="r" * 100 * MIB); send("done")""")
    assert len(told.of("report")[0]["report"]) == 100 * MIB
    assert told.of("done")


def test_nothing_but_messages_is_handed_on(supervise):
    told = supervise(r"""
        os.write(write, b'{"kind": "ended", "status": 0}\n{"kind": "stopped"}\n\0\xff\n[]\n{"kind": 3}\n')
        os.write(write, b'{"kind": "begin"}\n')
        os.read(read, 64)
        os.write(write, b'{"kind": "end", "usage": "rubbish"}\n{"kind": "report", "cut o')
        os.read(read, 64)
        sys.exit(4)
    """)
    assert [message["kind"] for message in told.messages] == ["findings", "ended"]
    assert told.ended["status"] == 4


def test_a_child_that_closes_its_wire_lives_on(supervise):
    told = supervise("""
        send("begin", usage={})
        os.close(read)
        send("end", usage={})
        os.close(write)
        time.sleep(0.3)
        sys.exit(5)
    """)
    assert told.ended["status"] == 5


def test_the_child_is_well_placed(supervise):
    last = max(os.sched_getaffinity(0))
    told = supervise(
        """
        import resource
        send("data", leader=os.getsid(0) == os.getpid(), cores=sorted(os.sched_getaffinity(0)),
             core=resource.getrlimit(resource.RLIMIT_CORE)[0], stdin=os.readlink("/proc/self/fd/0"),
             interrupt=signal.getsignal(signal.SIGINT) is signal.default_int_handler,
             descriptors=sorted(map(int, os.listdir("/proc/self/fd"))), wire=[read, write],
             policy=os.sched_getscheduler(0))
        """,
        cores=(last,),
    )
    (data,) = told.of("data")
    assert data["leader"]
    assert data["cores"] == [last]
    assert data["core"] == 0
    assert data["stdin"] == "/dev/null"
    assert data["interrupt"]
    assert data["policy"] == os.SCHED_OTHER
    listing = 1  # the folder that lists them
    assert len(data["descriptors"]) == 3 + len(data["wire"]) + listing


def test_killed_supervisor(supervise, sandbox):
    with pytest.raises(ChildFailed, match="supervisor of the test's process was ended by SIGKILL"):
        supervise("""
            for _ in range(3):
                subprocess.Popen(["sleep", "99"], start_new_session=True)
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(99)
        """)
    sandbox.assert_nothing_left()


def test_supervisor_that_falls_silent(supervise, sandbox, monkeypatch):
    """Not even a supervisor that hangs holds up the session for ever."""
    monkeypatch.setattr(launch, "END_SECONDS", 0.5)
    with pytest.raises(ChildFailed, match="SIGKILL"):
        supervise("os.kill(os.getppid(), signal.SIGSTOP); time.sleep(99)", timeout_seconds=0.5)
    sandbox.assert_nothing_left()


def test_command_that_can_not_be_started(supervise, sandbox):
    with pytest.raises(ChildFailed, match="no-such-python"):
        supervise("", command=("/no-such-python",))
    sandbox.assert_nothing_left()


def test_supervisor_that_can_not_be_started(supervise, sandbox, monkeypatch):
    job = supervise.job("")
    monkeypatch.setattr(sys, "executable", "/no-such-python")
    with pytest.raises(ChildFailed, match="could not be started"), launch.Supervised(job):
        pass
    sandbox.assert_nothing_left()


def test_told_to_end_where_a_fork_holds_its_input_open(supervise, sandbox):
    with launch.Supervised(supervise.job("time.sleep(99)")) as supervised:
        fork = os.fork()
        if not fork:
            signal.pause()
    os.kill(fork, signal.SIGKILL)
    os.waitpid(fork, 0)
    assert supervised._process.returncode == 0
    sandbox.assert_nothing_left()


def test_given_up_by_its_user(supervise, sandbox):
    """As on Ctrl-C: leaving the block ends the case, however busy it is talking."""
    job = supervise.job("""
        subprocess.Popen(["sleep", "99"])
        while True:
            send("progress", what="talk", done=0, total=1)
    """)
    with launch.Supervised(job) as supervised:
        next(supervised.messages())
    sandbox.assert_nothing_left()


def test_wire():
    line = encode("report", report={"text": "a\nb\0é\udcff"})
    assert line.count(b"\n") == 1
    assert kind_of(line) == "report"
    assert "report" in HANDED_ON
    assert decode(line)["report"]["text"] == "a\nb\0é\udcff"
    for rubbish in (b"", b"\n", b"\xff\0\n", b"[1]\n", b'{"kind": 3}\n', b'{"kind": "report", "\n'):
        assert decode(rubbish) is None
    decoder = Decoder()
    pieces = [line[:3], line[3:] + line[:-1], b"\n" + line]
    assert [message for piece in pieces for message in decoder.feed(piece)] == [line] * 3


@pytest.mark.parametrize(("number", "name"), [(6, "SIGABRT"), (9, "SIGKILL"), (40, "signal 40")])
def test_signal_names(number, name):
    assert launch.signal_name(number) == name
