import mmap
import os

import pytest

from pytest_layers.measure import machine, pagefaults
from pytest_layers.measure.pagefaults import PageFaults
from pytest_layers.measure.procfs import PAGE_BYTES

MIB = 2**20


def page_size(folder, kib, *, enabled="always [inherit] madvise never", faults=None):
    size = folder / f"hugepages-{kib}kB"
    size.mkdir()
    (size / "enabled").write_text(enabled)
    if faults is not None:
        (size / "stats").mkdir()
        (size / "stats" / "anon_fault_alloc").write_text(f"{faults}\n")


@pytest.fixture
def opened():
    found = []
    yield lambda *paths: found.append(PageFaults(*paths)) or found[-1]
    for pages in found:
        pages.close()


class TestPageFaults:
    def test_sizes_are_added_up_in_bytes(self, tmp_path, opened):
        page_size(tmp_path, 2048, faults=3)
        page_size(tmp_path, 64, faults=5)
        assert opened(tmp_path).huge_bytes() == 6 * MIB + 5 * 64 * 1024

    def test_a_size_that_is_switched_off_is_not_read(self, tmp_path, opened):
        page_size(tmp_path, 2048, faults=3)
        page_size(tmp_path, 64, enabled="always inherit madvise [never]", faults=5)
        assert opened(tmp_path).huge_bytes() == 6 * MIB

    def test_an_older_kernel_counts_the_largest_alone(self, tmp_path, opened):
        (tmp_path / "hpage_pmd_size").write_text("2097152\n")
        (tmp_path / "vmstat").write_text("pgfault 5\nthp_fault_alloc 7\nthp_split 1\n")
        assert opened(tmp_path, tmp_path / "vmstat").huge_bytes() == 14 * MIB

    def test_all_page_faults_count_a_page_each_beside_the_huge_ones(self, tmp_path, opened):
        page_size(tmp_path, 2048, faults=3)
        (tmp_path / "vmstat").write_text("pgmajfault 9\npgfault 5\npgsteal 7\n")
        pages = opened(tmp_path, tmp_path / "vmstat")
        assert pages.all_bytes() == 6 * MIB + 5 * PAGE_BYTES

    def test_a_counter_beyond_what_the_kernel_gives_at_once_is_read_whole(
        self, tmp_path, opened, monkeypatch
    ):
        page_size(tmp_path, 2048, faults=3)
        (tmp_path / "vmstat").write_text("pgmajfault 9\npgfault 512\npgsteal 7\n")
        pread = os.pread
        monkeypatch.setattr(os, "pread", lambda file, most, at: pread(file, min(most, 5), at))
        pages = opened(tmp_path, tmp_path / "vmstat")
        assert pages.all_bytes() == 6 * MIB + 512 * PAGE_BYTES

    def test_a_counter_that_is_missing_is_not_known(self, tmp_path, opened):
        (tmp_path / "vmstat").write_text("pgmajfault 9\npgsteal 7\n")
        assert opened(tmp_path, tmp_path / "vmstat").all_bytes() is None

    def test_where_they_are_not_told_nothing_is_known_of_them(self, tmp_path, opened):
        assert opened(tmp_path, tmp_path / "missing").all_bytes() is None

    def test_a_kernel_without_huge_pages_has_none(self, tmp_path, opened):
        (tmp_path / "vmstat").write_text("pgfault 5\npgsteal 7\n")
        assert opened(tmp_path / "missing", tmp_path / "vmstat").huge_bytes() == 0

    def test_where_sys_is_hidden_their_size_is_told_elsewhere(self, tmp_path, opened, monkeypatch):
        (tmp_path / "meminfo").write_text("MemTotal: 8 kB\nHugepagesize: 2048 kB\n")
        monkeypatch.setattr(machine, "MEMINFO_FILE", tmp_path / "meminfo")
        (tmp_path / "vmstat").write_text("pgfault 5\nthp_fault_alloc 7\npgsteal 7\n")
        assert opened(tmp_path / "missing", tmp_path / "vmstat").huge_bytes() == 14 * MIB

    def test_counters_that_may_not_be_opened_tell_nothing(self, tmp_path, opened, monkeypatch):
        def refuse(*_):
            raise PermissionError

        (tmp_path / "vmstat").write_text("pgfault 5\n")
        monkeypatch.setattr(os, "open", refuse)
        assert opened(tmp_path, tmp_path / "vmstat").all_bytes() is None

    @pytest.mark.parametrize("per_size", [True, False])
    def test_the_kernel_counts_what_is_touched_here(self, tmp_path, opened, per_size):
        if "[never]" in (pagefaults.FOLDER / "enabled").read_text():
            pytest.skip("huge pages are switched off")
        for path in () if per_size else ("hpage_pmd_size",):
            (tmp_path / path).write_bytes((pagefaults.FOLDER / path).read_bytes())
        pages = opened(pagefaults.FOLDER if per_size else tmp_path)
        before = pages.huge_bytes()
        with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            area.madvise(mmap.MADV_HUGEPAGE)
            for start in range(0, 64 * MIB, mmap.PAGESIZE):
                area[start] = 1
        assert pages.huge_bytes() - before >= 32 * MIB

    def test_pages_that_are_touched_here_count_among_all_of_the_machine(self, opened):
        pages = opened()
        before = pages.all_bytes()
        with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            for start in range(0, 64 * MIB, mmap.PAGESIZE):
                area[start] = 1
        assert pages.all_bytes() - before >= 64 * MIB
