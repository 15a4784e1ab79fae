"""What looks bad from outside and is not: every case is to pass."""

import mmap
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from twins import MIB, bait, ceiling, floor, sizes
from workers import (
    count_in_python,
    hash_for,
    in_processes,
    in_threads,
    on_disk,
    output_of,
    program,
    segment,
    write_file,
)


@bait
@ceiling("16MiB")
def test_mapped_file(role, tmp_path, measured):
    """400 MiB of a file's pages are mapped, and all of them read."""
    path = write_file(tmp_path / "file", 400)
    with measured:
        pages = np.memmap(path, np.uint8, mode="r")
        assert pages.sum() > 0


@bait
@ceiling("16MiB")
def test_page_cache(role, tmp_path, measured):
    """300 MiB are written to disk and read back, a piece at a time."""
    folder = on_disk(tmp_path)
    with measured:
        path = write_file(folder / "file", 300)
        with path.open("rb") as file:
            assert sum(len(piece) for piece in iter(lambda: file.read(MIB), b"")) == 300 * MIB


@bait
@ceiling("16MiB")
def test_reservation(role, measured):
    """8 GiB of addresses are reserved, and hardly any are touched."""
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)  # named since Python 3.13
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    with measured, mmap.mmap(-1, 8 << 30, flags=flags) as area:
        area[: mmap.PAGESIZE] = bytes(mmap.PAGESIZE)
        time.sleep(0.2)


@bait
@ceiling("32MiB")
def test_sleeping_threads(role, measured):
    """Sixteen threads with their stacks sleep, and keep no core busy."""
    with measured, ThreadPoolExecutor(16) as pool:
        list(pool.map(time.sleep, [0.3] * 16))


@pytest.fixture
def large_before():
    return np.ones(300 * MIB, np.uint8)


@bait
@ceiling("80MiB")
def test_forks_that_read(role, large_before, measured):
    """Four forks read an array of 300 MiB that was there before."""

    def read():
        time.sleep(0.3)
        return int(large_before.sum())

    with measured:
        assert in_processes(4, read) == [300 * MIB] * 4


@bait
@ceiling("300MiB")
def test_shared_segment(role, measured):
    """Three processes map and read one segment of 200 MiB."""
    with measured, segment(200 * MIB) as buffer:
        assert sums_of(buffer, 3) == [200 * MIB] * 3


def sums_of(buffer, readers):
    array = np.frombuffer(buffer, np.uint8)
    array[:] = 1

    def read():
        time.sleep(0.3)
        return int(array.sum())

    return in_processes(readers, read)


@pytest.fixture
def peak_before():
    np.ones(500 * MIB, np.uint8)


@bait
@ceiling("16MiB")
def test_peak_before(role, peak_before, measured):
    """A fixture held 500 MiB, and gave them back."""
    with measured:
        time.sleep(0.2)


def test_leaves_garbage():
    """No case: it runs in pytest's own process, and leaves 200 MiB in a cycle."""
    left = [np.ones(200 * MIB, np.uint8)]
    left.append(left)


@bait
@ceiling("16MiB")
def test_after_garbage(role, measured):
    """An earlier test has left its garbage."""
    with measured:
        time.sleep(0.2)


@bait
@ceiling("150MiB")
def test_in_turn(role, measured):
    """100 MiB are taken and given back ten times: a gigabyte in all."""
    with measured:
        for _ in range(10):
            np.ones(100 * MIB, np.uint8)


@bait
@ceiling("100MiB")
def test_short_bursts(role, measured):
    """Twenty times 60 MiB are held for some milliseconds."""
    with measured:
        for _ in range(20):
            with mmap.mmap(-1, 60 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
                np.frombuffer(area, np.uint8)[:: mmap.PAGESIZE] = 1
                time.sleep(0.005)


@bait
@ceiling("96MiB")
def test_programs_in_turn(role, measured):
    """Thirty programs of some MiB run, one after the other."""
    with measured:
        assert sum(output_of(program("print(len('x' * 2**20))")) for _ in range(30)) == 30 * MIB


@bait
@ceiling("16MiB")
def test_hog(role, measured):
    """A process that is none of the test's takes memory; `run.py` starts it, and tells its pid."""
    pid = os.environ.get("DETECTION_HOG")
    if pid is None:
        pytest.skip("no hog: run.py starts one")
    with measured:
        time.sleep(1.2)
    assert Path("/proc", pid).is_dir()


@bait
@floor("80%")
def test_neighbours(role, measured):
    """Two threads want two cores, which other processes may have taken: `run.py --loads` starts these."""
    with measured:
        in_threads(2, lambda: hash_for(1.0))


@bait
@floor("60%")
def test_serial_head(role, measured):
    """15 % of the work are done on one core, the rest on two."""
    with measured:
        head = count_in_python(3_000_000)
        rest = in_processes(2, lambda: count_in_python(8_500_000))
    assert head
    assert rest[0] == rest[1]


@bait
@pytest.mark.layers("polars", "polars-streaming")
@sizes("4M")
@ceiling("0.2x + 60MiB", polars="1.2x + 60MiB")
def test_second_run(role, engine, sales, measured):
    """A query's first run has left the allocator what it likes to keep."""
    pl = engine.namespace
    query = engine.scan(sales).group_by("product").agg(pl.col("amount").sum())
    engine.collect(query)
    with measured:
        result = engine.collect(query)
    assert result.num_rows == sales.products
