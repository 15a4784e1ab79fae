from types import SimpleNamespace

import psutil
import pytest

from pytest_layers.measure import portable
from pytest_layers.measure.procfs import PAGE_BYTES, Memory

MIB = 2**20


class Scripted:
    """A process of psutil's, with what it tells."""

    def __init__(self, pid, parent=1, started=1.0, **told):
        self.pid, self._parent, self._started = pid, parent, started
        self.told = told
        self.uss = 0

    def ppid(self):
        return self._parent

    def create_time(self):
        return self._started

    def oneshot(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def memory_info(self):
        return SimpleNamespace(**self.told)

    def memory_full_info(self):
        if self.uss is None:
            raise psutil.AccessDenied(self.pid)
        return SimpleNamespace(uss=self.uss)


@pytest.fixture
def tell(monkeypatch):
    """Has psutil know these processes only."""

    def tell(*processes):
        known = {process.pid: process for process in processes}
        monkeypatch.setattr(psutil, "process_iter", lambda: list(known.values()))
        monkeypatch.setattr(psutil, "Process", known.__getitem__)

    return tell


class TestChildren:
    @pytest.fixture
    def table(self, monkeypatch):
        monkeypatch.setattr(portable, "_TABLE_SECONDS", 0)
        return portable._Table()

    def test_they_are_told_by_their_parents(self, table, tell):
        tell(Scripted(5), Scripted(6, 5, 2.0), Scripted(7, 6, 3.0), Scripted(8, 5, 3.0))
        assert table.children(5) == [6, 8]
        assert table.children(6) == [7]
        assert table.children(8) == []

    def test_an_orphan_stays_below_the_parent_it_had(self, table, tell):
        tell(Scripted(5), Scripted(6, 5, 2.0), Scripted(7, 6, 3.0))
        table.children(5)
        tell(Scripted(5), Scripted(7, 1, 3.0))
        assert table.children(5) == [6]
        assert table.children(6) == [7]

    def test_what_has_ended_with_nobody_below_is_forgotten(self, table, tell):
        tell(Scripted(5), Scripted(6, 5, 2.0))
        table.children(5)
        tell(Scripted(5))
        assert table.children(5) == []

    def test_a_number_that_is_anothers_by_now_is_another(self, table, tell):
        tell(Scripted(5), Scripted(6, 5, 2.0))
        table.children(5)
        tell(Scripted(5), Scripted(6, 9, 4.0))
        assert table.children(5) == []
        assert table.children(9) == [6]

    def test_nobody_is_older_than_its_parent(self, table, tell):
        tell(Scripted(5, started=9.0), Scripted(6, 5, 2.0))
        assert table.children(5) == []


class TestMemory:
    def test_the_mark_is_bound_by_page_faults_since_the_reading_before(self, tell):
        one = Scripted(5, rss=30 * MIB, pfaults=10_000)
        one.uss = 20 * MIB
        tell(one)
        process = portable.Process(5)
        first = process.memory()
        assert first == Memory(10_000 * PAGE_BYTES, 20 * MIB, 10 * MIB, 0, 0)

        one.told = {"rss": 10 * MIB, "pfaults": 10_100}
        one.uss = 8 * MIB
        second = process.memory()
        assert second == Memory(30 * MIB + 100 * PAGE_BYTES, 8 * MIB, 2 * MIB, 0, 0)
        assert process.minor_faults() == 10_100

    def test_windows_has_another_name_for_them(self, tell):
        tell(Scripted(5, rss=MIB, num_page_faults=7))
        assert portable.Process(5).minor_faults() == 7

    def test_it_is_never_less_than_what_is_resident(self, tell):
        tell(Scripted(5, rss=30 * MIB, pfaults=1))
        assert portable.Process(5).memory().high_water == 30 * MIB

    def test_where_faults_are_not_told_it_is_bound_by_cpu_time(self, tell, monkeypatch):
        seconds = iter([0.5, 0.6])
        monkeypatch.setattr(portable, "cpu_seconds", lambda pid: next(seconds))
        tell(Scripted(5, rss=30 * MIB))
        process = portable.Process(5)
        assert process.memory().high_water == pytest.approx(0.516 * 2e9)
        assert process.memory().high_water == pytest.approx(30 * MIB + 0.116 * 2e9)

    def test_what_may_not_be_read_is_taken_as_its_own(self, tell):
        one = Scripted(5, rss=30 * MIB, pfaults=1)
        one.uss = None
        tell(one)
        assert portable.Process(5).memory().anon == 30 * MIB

    def test_one_that_has_ended_has_none(self, tell):
        one = Scripted(5, rss=30 * MIB, pfaults=1)
        tell(one)
        process = portable.Process(5)

        def gone():
            raise psutil.NoSuchProcess(5)

        one.memory_info = gone
        assert process.memory() is None
        assert process.minor_faults() == 0


def test_there_is_no_process_of_a_number_without_one():
    with pytest.raises(ProcessLookupError):
        portable.Process(2**22 + 1)
    assert portable.identity(2**22 + 1) is None
    assert portable.is_dead(2**22 + 1)
    assert portable.cpu_seconds(2**22 + 1) is None
    assert portable.command_line(2**22 + 1) == ""
    assert not portable.has_in_environment(2**22 + 1, "")


def test_both_sources_have_the_same_functions():
    from pytest_layers.measure import host, procfs

    used = {name for name in vars(procfs) if not name.startswith("_")}
    shared = used & vars(portable).keys()
    assert host.system is procfs
    assert shared >= {
        "CANNOT", "HAS_MARKS", "TELLS_WAITING", "Process", "all_pids", "children", "command_line",
        "cpu_seconds", "cpus_allowed", "has_in_environment", "identity", "is_dead", "kill",
        "last_pid", "most_open_files", "open_thread", "proportional_bytes", "reap", "resume", "suspend", "switches",
        "thread_ids", "thread_times",
    }  # fmt: skip
    methods = [name for name in vars(procfs.Process) if not name.startswith("_")]
    assert all(hasattr(portable.Process, name) for name in methods)
