import mmap
import os
import threading
import time
from pathlib import Path

import pytest

from pytest_layers.measure import procfs
from pytest_layers.measure.procfs import ChildUsage, Memory, Process

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

MIB = 2**20
STATUS = b"""Name:\tpython
Umask:\t0022
State:\tS (sleeping)
VmPeak:\t  999999 kB
VmSize:\t  999999 kB
VmHWM:\t    2072 kB
VmRSS:\t    2000 kB
RssAnon:\t     160 kB
RssFile:\t    1800 kB
RssShmem:\t      40 kB
VmData:\t     240 kB
VmPTE:\t      48 kB
VmSwap:\t       8 kB
Threads:\t1
"""
STAT = (
    "{pid} ({name}) S 7 8 9 0 -1 4194560 100 200 3 4 50 60 250 150 20 0 1 0 12345 1000 500 "
    "18446744073709551615 94000 94100 140000 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


@pytest.fixture
def own():
    process = Process(os.getpid())
    yield process
    process.close()


class TestStatus:
    def test_the_lines_of_memory_are_read_in_bytes(self):
        assert procfs.parse_status(STATUS) == Memory(
            2072 * 1024, 160 * 1024, 1800 * 1024, 40 * 1024, 8 * 1024
        )

    def test_what_is_resident_is_the_sum(self):
        assert procfs.parse_status(STATUS).resident == 2000 * 1024

    def test_a_zombie_has_no_memory(self):
        assert procfs.parse_status(b"Name:\tpython\nState:\tZ (zombie)\nThreads:\t1\n") is None

    def test_a_name_can_not_pass_for_a_line(self):
        spoilt = STATUS.replace(b"Name:\tpython", b"Name:\tVmHWM: 9 kB RssAnon: 9 kB")
        assert procfs.parse_status(spoilt) == procfs.parse_status(STATUS)


class TestStat:
    @pytest.mark.parametrize("name", ["python", "a b", "a) R 1 (b", "()", ")", ""])
    def test_names_may_hold_spaces_and_brackets(self, name):
        who = procfs.parse_stat(STAT.format(pid=42, name=name))
        assert (who.name, who.parent, who.state) == (name, 7, "S")

    def test_fields_are_those_of_the_manual(self):
        who = procfs.parse_stat(STAT.format(pid=42, name="python"))
        assert (who.started, who.image, who.minor_faults) == (12345, (94000, 140000), 100)
        tick = 1 / os.sysconf("SC_CLK_TCK")
        assert who.children == ChildUsage(cpu_seconds=400 * tick, minor_faults=200)

    def test_nobody_has_no_identity(self):
        assert procfs.identity(2**22 + 1) is None
        assert procfs.is_dead(2**22 + 1)

    def test_our_own_identity(self):
        who = procfs.identity(os.getpid())
        assert who.parent == os.getppid()
        assert not procfs.is_dead(os.getpid())

    def test_twins_have_one_image(self):
        ready, done = os.pipe()
        pid = os.fork()
        if not pid:
            os.read(ready, 1)
            os._exit(0)
        twin = procfs.identity(pid)
        os.write(done, b"x")
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(done)
        assert twin.image == procfs.identity(os.getpid()).image


class TestMemory:
    def test_touched_bytes_are_anonymous_memory(self, own):
        before = own.memory()
        with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            for offset in range(0, 32 * MIB, mmap.PAGESIZE):
                area[offset] = 1
            after = own.memory()
        assert 32 * MIB - 64 * 1024 <= after.anon - before.anon < 34 * MIB
        assert abs(after.file - before.file) < MIB

    def test_a_burst_is_in_the_mark_until_it_is_reset(self, own):
        assert own.reset_peak()
        before = own.memory()
        with mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            for offset in range(0, 32 * MIB, mmap.PAGESIZE):
                area[offset] = 1
        burst = own.memory()
        assert own.reset_peak()
        after = own.memory()
        assert 31 * MIB < burst.high_water - before.resident < 34 * MIB
        assert after.high_water - after.resident < MIB

    def test_shared_memory_is_told_apart(self, own):
        before = own.memory()
        with mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_SHARED) as area:
            for offset in range(0, 8 * MIB, mmap.PAGESIZE):
                area[offset] = 1
            after = own.memory()
        assert 8 * MIB - 64 * 1024 <= after.shmem - before.shmem <= 8 * MIB + 64 * 1024

    def test_an_ended_process_has_no_reading(self):
        ready, done = os.pipe()
        pid = os.fork()
        if not pid:
            os.read(ready, 1)
            os._exit(0)
        process = Process(pid)
        assert process.memory().resident > 0
        os.write(done, b"x")
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        zombie, is_dead = process.memory(), procfs.is_dead(pid)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(done)
        assert (zombie, is_dead) == (None, True)
        assert (process.memory(), process.reset_peak()) == (None, False)
        process.close()

    def test_pages_of_a_fork_are_divided_among_both(self, own):
        with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            for offset in range(0, 64 * MIB, mmap.PAGESIZE):
                area[offset] = 1
            alone = procfs.proportional_bytes(os.getpid())
            ready, done = os.pipe()
            pid = os.fork()
            if not pid:
                os.read(ready, 1)
                os._exit(0)
            both = procfs.proportional_bytes(os.getpid()), procfs.proportional_bytes(pid)
            os.write(done, b"x")
            os.waitpid(pid, 0)
            os.close(ready)
            os.close(done)
        assert 64 * MIB <= alone <= own.memory().anon + 65 * MIB
        assert abs(sum(both) - alone) < 4 * MIB
        assert abs(both[0] - both[1]) < 4 * MIB

    def test_where_it_is_not_told_of_anonymous_memory_it_is_not_none_of_it(self, monkeypatch):
        """Linux before 5.3."""
        monkeypatch.setattr(procfs, "_read", lambda _: b"Rss: 90 kB\nPss: 50 kB\nSwapPss: 0 kB\n")
        assert procfs.proportional_bytes(os.getpid()) is None

    def test_nobody_has_no_proportional_size(self):
        assert procfs.proportional_bytes(2**22 + 1) is None


class TestWho:
    def test_children_of_every_thread_are_found(self):
        ready, done = os.pipe()
        pids = []

        def start():
            pid = os.fork()
            if not pid:
                os.read(ready, 1)
                os._exit(0)
            pids.append(pid)
            seen.update(procfs.children(os.getpid()))

        seen = set()
        start()
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        os.write(done, b"xx")
        for pid in pids:
            os.waitpid(pid, 0)
        os.close(ready)
        os.close(done)
        assert set(pids) <= seen

    def test_children_are_all_found_where_the_kernel_tells_of_few_at_a_time(self, monkeypatch):
        ready, done = os.pipe()
        pids = []
        for _ in range(3):
            pid = os.fork()
            if not pid:
                os.read(ready, 1)
                os._exit(0)
            pids.append(pid)
        read = os.read
        monkeypatch.setattr(os, "read", lambda file, most: read(file, min(most, 4)))
        found = procfs.children(os.getpid())
        os.write(done, b"xxx")
        for pid in pids:
            os.waitpid(pid, 0)
        os.close(ready)
        os.close(done)
        assert set(pids) <= set(found)

    def test_nobody_has_no_children_and_no_threads(self):
        nobody = 2**22 + 1
        assert (procfs.children(nobody), procfs.thread_ids(nobody)) == ([], [])
        assert procfs.command_line(nobody) == ""

    def test_the_command_line_is_one_line(self):
        parts = Path("/proc/self/cmdline").read_bytes().split(b"\0")
        assert procfs.command_line(os.getpid()).startswith(parts[0].decode())

    def test_the_last_pid_handed_out_moves_with_a_birth(self):
        before = procfs.last_pid()
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        assert int(procfs.last_pid()) >= pid
        assert procfs.last_pid() != before


class TestTimes:
    def test_cpu_seconds_rise_with_work_and_are_those_of_the_process(self):
        before, clock = procfs.cpu_seconds(os.getpid()), time.process_time()
        while time.process_time() - clock < 0.01:
            pass
        after, spent = procfs.cpu_seconds(os.getpid()), time.process_time() - clock
        assert 0.01 <= after - before <= spent + 0.001

    def test_nobody_has_no_cpu_seconds(self):
        assert procfs.cpu_seconds(2**22 + 1) is None

    def test_times_of_a_thread_rise(self):
        descriptor = procfs.open_thread(os.getpid(), str(threading.get_native_id()))
        before, clock = procfs.thread_times(descriptor), time.thread_time()
        while time.thread_time() - clock < 0.01:
            pass
        after = procfs.thread_times(descriptor)
        os.close(descriptor)
        assert 0.005e9 < after.cpu - before.cpu < 0.05e9
        assert after.wait >= before.wait

    def test_an_ended_thread_has_no_times(self):
        go = threading.Event()
        thread = threading.Thread(target=go.wait)
        thread.start()
        descriptor = procfs.open_thread(os.getpid(), str(thread.native_id))
        go.set()
        thread.join()
        while str(thread.native_id) in procfs.thread_ids(os.getpid()):
            pass
        ended = procfs.thread_times(descriptor)
        os.close(descriptor)
        assert ended is None

    def test_switches_of_a_thread_that_sleeps_rise(self):
        name = str(threading.get_native_id())
        before = procfs.switches(os.getpid(), name)
        for _ in range(5):
            time.sleep(0.001)
        after = procfs.switches(os.getpid(), name)
        assert after.voluntary >= before.voluntary + 5
        assert after.preempted >= before.preempted

    def test_nobody_has_no_switches_and_no_cpus(self):
        assert procfs.switches(2**22 + 1, "1") is None
        assert procfs.cpus_allowed(2**22 + 1) == frozenset()

    def test_cpus_are_those_of_the_affinity(self):
        assert procfs.cpus_allowed(os.getpid()) == os.sched_getaffinity(0)

    def test_nobody_has_no_thread(self):
        assert procfs.open_thread(2**22 + 1, "1") is None


class TestChildUsage:
    def test_of_both_are_sums_and_the_larger_size(self):
        both = ChildUsage(1.0, 50, 3).plus(ChildUsage(2.0, 40, 4))
        assert both == ChildUsage(3.0, 50, 7)

    def test_what_was_added_since_keeps_the_largest_size(self):
        assert ChildUsage(3.0, 50, 7).less(ChildUsage(1.0, 40, 3)) == ChildUsage(2.0, 50, 4)
