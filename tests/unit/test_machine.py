import math
import os
import resource
import time

import psutil
import pytest

from pytest_layers.measure import machine
from pytest_layers.measure.procfs import PAGE_BYTES

GIB = 2**30
RAM = 16 * GIB


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A machine of 8 cores and 16 GiB whose cgroups are files that a test writes."""
    root = tmp_path / "cgroup"
    root.mkdir()
    own = tmp_path / "self-cgroup"
    monkeypatch.setattr(machine, "CGROUP_ROOT", root)
    monkeypatch.setattr(machine, "CGROUP_FILE", own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": RAM}))
    monkeypatch.setattr(machine, "_mem_available_bytes", lambda: 12 * GIB)

    def write(membership, **files):
        own.write_text(membership)
        for name, text in files.items():
            path = root / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


class TestNoCgroup:
    def test_cores_are_those_of_the_affinity(self, host):
        assert machine.available_cores() == 8

    def test_memory_is_the_ram(self, host):
        assert machine.memory_limit_bytes() == RAM

    def test_spare_is_what_is_available(self, host):
        assert machine.memory_spare_bytes() == 12 * GIB

    def test_folders_without_limits_say_nothing(self, host):
        host("0::/user.slice\n", user_dot_slice__memory_dot_max="max\n")
        assert (machine.available_cores(), machine.memory_limit_bytes()) == (8, RAM)


class TestVersion2:
    def test_the_quota_in_cores_is_rounded_up(self, host):
        host("0::/box\n", box__cpu_dot_max="150000 100000\n")
        assert machine.available_cores() == 2

    def test_no_quota_is_no_limit(self, host):
        host("0::/box\n", box__cpu_dot_max="max 100000\n")
        assert machine.available_cores() == 8

    def test_there_is_one_core_at_least(self, host):
        host("0::/box\n", box__cpu_dot_max="1000 100000\n")
        assert machine.available_cores() == 1

    def test_the_affinity_holds_below_a_larger_quota(self, host):
        host("0::/box\n", box__cpu_dot_max="6400000 100000\n")
        assert machine.available_cores() == 8

    def test_the_limit_is_the_memory(self, host):
        host("0::/box\n", box__memory_dot_max=f"{4 * GIB}\n")
        assert machine.memory_limit_bytes() == 4 * GIB

    def test_the_tightest_of_nested_ones_holds(self, host):
        host(
            "0::/outer/inner\n",
            outer__memory_dot_max=f"{2 * GIB}\n",
            outer__inner__memory_dot_max=f"{4 * GIB}\n",
            outer__cpu_dot_max="300000 100000\n",
            outer__inner__cpu_dot_max="max 100000\n",
        )
        assert (machine.memory_limit_bytes(), machine.available_cores()) == (2 * GIB, 3)

    def test_a_limit_beyond_the_ram_is_none(self, host):
        host("0::/box\n", box__memory_dot_max=f"{64 * GIB}\n")
        assert machine.memory_limit_bytes() == RAM

    def test_spare_is_what_the_limit_leaves_without_page_cache(self, host):
        host(
            "0::/box\n",
            box__memory_dot_max=f"{4 * GIB}\n",
            box__memory_dot_stat=f"anon {GIB}\nfile {2 * GIB}\nshmem {GIB // 2}\n",
        )
        assert machine.memory_spare_bytes() == 2.5 * GIB

    def test_spare_is_never_below_zero(self, host):
        host(
            "0::/box\n",
            box__memory_dot_max=f"{GIB}\n",
            box__memory_dot_stat=f"anon {2 * GIB}\n",
        )
        assert machine.memory_spare_bytes() == 0

    def test_a_limit_without_statistics_is_passed_over(self, host):
        host("0::/box\n", box__memory_dot_max=f"{GIB}\n")
        assert machine.memory_spare_bytes() == GIB


class TestVersion1:
    LINES = "5:memory:/box\n4:cpu,cpuacct:/box\n3:name=systemd:/box\n0::/\n"

    def test_quota_and_period_make_cores(self, host):
        host(self.LINES, cpu__box__cpu_dot_cfs_quota_us="250000\n")
        assert machine.available_cores() == 8
        host(self.LINES, cpu__box__cpu_dot_cfs_period_us="100000\n")
        assert machine.available_cores() == 3

    def test_controllers_may_stand_in_one_folder(self, host):
        host(
            self.LINES,
            **{
                "cpu,cpuacct__box__cpu_dot_cfs_quota_us": "200000\n",
                "cpu,cpuacct__box__cpu_dot_cfs_period_us": "100000\n",
            },
        )
        assert machine.available_cores() == 2

    def test_no_quota_is_no_limit(self, host):
        host(
            self.LINES,
            cpu__box__cpu_dot_cfs_quota_us="-1\n",
            cpu__box__cpu_dot_cfs_period_us="100000\n",
        )
        assert machine.available_cores() == 8

    def test_the_limit_is_the_memory(self, host):
        host(self.LINES, memory__box__memory_dot_limit_in_bytes=f"{3 * GIB}\n")
        assert machine.memory_limit_bytes() == 3 * GIB

    def test_the_kernels_number_for_no_limit_is_none(self, host):
        host(self.LINES, memory__box__memory_dot_limit_in_bytes="9223372036854771712\n")
        assert machine.memory_limit_bytes() == RAM
        assert machine.memory_spare_bytes() == 12 * GIB

    def test_within_a_container_the_root_is_its_own(self, host):
        host(
            "5:memory:/docker/0123\n",
            memory__memory_dot_limit_in_bytes=f"{3 * GIB}\n",
            memory__memory_dot_stat=f"cache {GIB}\ntotal_rss {GIB}\ntotal_shmem {GIB}\n",
        )
        assert machine.memory_limit_bytes() == 3 * GIB
        assert machine.memory_spare_bytes() == GIB

    def test_version_one_counts_what_cgroups_below_hold_too(self, host):
        host(
            "5:memory:/docker/0123\n",
            memory__memory_dot_limit_in_bytes=f"{3 * GIB}\n",
            memory__memory_dot_stat=f"rss 1\nshmem 4096\ntotal_rss {GIB}\ntotal_shmem {GIB}\n",
        )
        assert machine.memory_spare_bytes() == GIB


class TestBusySeconds:
    STAT = """\
cpu  9 9 9 2800 120 0 0 0 0 0
cpu0 9 9 9 1000 100 0 0 0 0 0
cpu1 9 9 9 1800 20 0 0 150 0 0
cpu10 9 9 9 7 7 0 0 0 0 0
intr 12345
"""

    @pytest.fixture
    def stat(self, tmp_path, monkeypatch):
        file = tmp_path / "stat"
        file.write_text(self.STAT)
        monkeypatch.setattr(machine, "STAT_FILE", file)
        monkeypatch.setattr(os, "sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
        monkeypatch.setattr(machine.time, "monotonic", lambda: 50.0)
        return file

    def test_they_are_what_the_cpus_did_not_idle(self, host, stat):
        host("0::/\n")
        assert machine.busy_seconds({0}) == 50 - 11
        assert machine.busy_seconds({0, 1}) == 100 - 11 - 18.2
        assert machine.busy_seconds(set()) == 0

    def test_what_the_machine_beneath_took_is_told_apart(self, host, stat):
        host("0::/\n")
        assert machine.stolen_seconds({0, 1}) == 1.5
        assert machine.stolen_seconds({0, 2}) == 0

    def test_a_cpu_that_is_not_told_of_makes_all_unknown(self, host, stat):
        host("0::/\n")
        assert machine.busy_seconds({0, 2}) is None

    def test_no_file_says_nothing(self, host, stat):
        host("0::/\n")
        stat.unlink()
        assert machine.busy_seconds({0}) is None
        assert machine.stolen_seconds({0}) == 0

    def test_a_quota_may_idle_as_many_cpus_as_it_does_not_cover(self, host):
        host("0::/box\n", box__cpu_dot_max="150000 100000\n")
        assert machine.is_under_quota({0, 1})
        assert not machine.is_under_quota({0})

    def test_without_a_quota_none_is_idled(self, host):
        host("0::/\n")
        assert not machine.is_under_quota(set(range(64)))


def test_a_busy_thread_keeps_this_machine_busy():
    cpus = os.sched_getaffinity(0)
    if machine.is_under_quota(cpus):
        pytest.skip("this machine has a CPU quota")
    before, spent = machine.busy_seconds(cpus), time.thread_time()
    while time.thread_time() - spent < 0.3:
        pass
    # Idle time is told in ticks of 10 ms for each CPU.
    assert machine.busy_seconds(cpus) - before >= 0.3 - 0.02 * len(cpus)


def test_this_machine_is_described():
    found = machine.describe()
    assert found.system.startswith("Linux ")
    assert 1 <= found.cores <= os.cpu_count()
    assert 0 < found.memory_bytes <= psutil.virtual_memory().total


def test_spare_memory_is_no_more_than_there_is():
    assert 0 < machine.memory_spare_bytes() <= psutil.virtual_memory().total


def test_oom_kills_are_counted():
    assert 0 <= machine.oom_kills() < math.inf


def test_the_most_there_is_are_ram_and_swap(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "MEMINFO_FILE", tmp_path / "meminfo")
    assert machine.most_bytes() > RAM
    (tmp_path / "meminfo").write_text("MemTotal:  7 kB\nHugePages_Total:  9\nSwapTotal:  3 kB\n")
    assert machine.most_bytes() == 10 * 1024


SWAP = "SwapTotal:  900 kB\nSwapFree:  700 kB\n"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Shmem:  4000 kB\n" + SWAP, (4000 * 1024, 200 * 1024)),
        ("Shmem:  4000 kB\n", (4000 * 1024, 0)),
        ("Shmem:  0 kB\n" + SWAP, None),
        ("", None),
    ],
)
def test_shared_memory_of_the_machine_is_told_where_it_is_counted(
    monkeypatch, tmp_path, told, expected
):
    (tmp_path / "meminfo").write_text(told)
    monkeypatch.setattr(machine, "MEMINFO_FILE", tmp_path / "meminfo")
    assert machine.shared_bytes() == expected


def test_it_lags_by_each_cpu_and_node(monkeypatch, tmp_path):
    (tmp_path / "node0").mkdir()
    (tmp_path / "node1").mkdir()
    (tmp_path / "online").touch()
    monkeypatch.setattr(machine, "NODES_FOLDER", tmp_path)
    assert machine.shared_slack_bytes() == os.cpu_count() * 2 * 125 * PAGE_BYTES


def test_the_slack_of_a_mark_grows_with_the_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert machine.mark_slack_bytes() == 4 * 32 * PAGE_BYTES
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert machine.mark_slack_bytes() == 64 * 128 * PAGE_BYTES


def test_files_are_left_until_too_many_are_open():
    assert machine.has_files_left()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened, most[1]))
    try:
        assert not machine.has_files_left()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
        os.close(opened)
