"""NumPy and plain Python, without an engine."""

import mmap
import os
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from twins import MIB, ceiling, floor, plain_twins
from workers import (
    count_in_python,
    hash_blocks,
    in_processes,
    in_threads,
    on_disk,
    output_of,
    program,
    segment,
    write_file,
)


def lines(tmp_path):
    path = tmp_path / "lines"
    with path.open("w") as file:
        file.writelines(f"{number}\n" for number in range(1_000_000))
    return path


def sum_stream(path):
    with path.open() as file:
        return sum(int(line) for line in file)


def sum_list(path):
    """Holds all lines of a file in a list."""
    with path.open() as file:
        return sum([int(line) for line in file.readlines()])


test_list_of_lines = plain_twins(sum_stream, sum_list, ceiling("16MiB"), ready=lines)


def crc_in_pieces(path):
    found = 0
    with path.open("rb") as file:
        while piece := file.read(MIB):
            found = zlib.crc32(piece, found)
    return found


def crc_of_whole(path):
    """Reads a file of 200 MiB at once."""
    return zlib.crc32(path.read_bytes())


test_whole_file = plain_twins(
    crc_in_pieces,
    crc_of_whole,
    ceiling("32MiB"),
    ready=lambda folder: write_file(folder / "file", 200),
)


def readings(_):
    return np.arange(20_000_000, dtype=np.float32)


def roots_in_chunks(values):
    chunks = np.array_split(values, 40)
    return sum(float(np.sqrt(chunk.astype(np.float64)).sum()) for chunk in chunks)


def roots_of_copy(values):
    """Copies the whole array to float64."""
    return float(np.sqrt(values.astype(np.float64)).sum())


test_float64_copy = plain_twins(roots_in_chunks, roots_of_copy, ceiling("48MiB"), ready=readings)


def touch(size):
    """Writes so many bytes of huge pages, and gives them back after five milliseconds."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_HUGEPAGE)
        np.frombuffer(area, np.uint8)[:: mmap.PAGESIZE] = 1
        time.sleep(0.005)
        return sum(area[:: mmap.PAGESIZE])


def small_bursts(_):
    return touch(80 * MIB) + touch(80 * MIB) + touch(40 * MIB)


def one_burst(_):
    """Takes 200 MiB at once, for some milliseconds."""
    return touch(200 * MIB)


test_burst = plain_twins(small_bursts, one_burst, ceiling("120MiB"))


def daemon(size):
    """The sum over 200 MiB of ones, found by an orphan in a session of its own, `size` bytes at a time."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.fork() == 0:
                os.setsid()
                total = 0
                for _ in range(200 * MIB // size):
                    total += int(np.ones(size, np.uint8).sum())
                os.write(write, b"%d" % total)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        return int(told.read())


def small_daemon(_):
    return daemon(20 * MIB)


def large_daemon(_):
    """Has a daemon that left the test's process group hold 200 MiB."""
    return daemon(200 * MIB)


test_daemon = plain_twins(small_daemon, large_daemon, ceiling("80MiB"))


def table(_):
    return np.arange(15 * MIB)  # 120 MiB


def slow_sum(array):
    time.sleep(0.3)
    return int(array.sum())


def one_segment(array):
    with segment(array.nbytes) as buffer:
        return sum_in(buffer, array)


def sum_in(buffer, array):
    shared = np.frombuffer(buffer, array.dtype, len(array))
    shared[:] = array
    return sum(in_processes(3, lambda: slow_sum(shared)))


def own_copies(array):
    """Gives each of three processes a copy of its own."""
    return sum(in_processes(3, lambda: slow_sum(array.copy())))


test_own_copies = plain_twins(one_segment, own_copies, ceiling("230MiB"), ready=table)


def spill(folder):
    """The bytes read back from a file of 200 MiB, written in pieces."""
    path = folder / f"detection-{os.getpid()}"
    try:
        write_file(path, 200)
        with path.open("rb") as file:
            time.sleep(0.1)
            return sum(len(piece) for piece in iter(lambda: file.read(MIB), b""))
    finally:
        path.unlink()


def spill_to_disk(folder):
    return spill(folder)


def spill_to_shm(_):
    """Writes what is to be out of memory to /dev/shm."""
    return spill(Path("/dev/shm"))


test_spill_to_shm = plain_twins(spill_to_disk, spill_to_shm, ceiling("100MiB"), ready=on_disk)


PRINT = "for number in range(2_000_000): print(f'{number:>99}')"


def count_as_they_come(_):
    with program(PRINT) as process:
        return sum(1 for _ in process.stdout)


def count_captured(_):
    """Captures all that a program prints."""
    with program(PRINT) as process:
        return process.communicate()[0].count(b"\n")


test_captured = plain_twins(count_as_they_come, count_captured, ceiling("48MiB"))


HOLD = f"import time; block = bytes(range(1, 61)) * {MIB}; time.sleep(0.3); print(len(block))"


def in_turn(_):
    return sum(output_of(program(HOLD)) for _ in range(4))


def at_once(_):
    """Starts four programs at once."""
    return sum(map(output_of, [program(HOLD) for _ in range(4)]))


test_at_once = plain_twins(in_turn, at_once, ceiling("160MiB"))


def with_processes(_):
    return sum(in_processes(2, lambda: count_in_python(12_000_000)))


def with_threads(_):
    """Gives pure Python to threads, which wait for its lock."""
    return sum(in_threads(2, lambda: count_in_python(12_000_000)))


test_threads_of_python = plain_twins(with_processes, with_threads, floor("70%"))


ALL_BLOCKS = 120


def shared_out(_):
    cores = len(os.sched_getaffinity(0))
    return sum(in_threads(cores, lambda: hash_blocks(ALL_BLOCKS // cores)))


def spin(_):
    """Has one thread do the work, while the others spin until it is done."""
    done = threading.Event()

    def wait():
        while not done.is_set():
            hash_blocks(1)

    others = [threading.Thread(target=wait) for _ in range(len(os.sched_getaffinity(0)) - 1)]
    for thread in others:
        thread.start()
    answer = hash_blocks(ALL_BLOCKS)
    done.set()
    for thread in others:
        thread.join()
    return answer


test_spinning = plain_twins(shared_out, spin, pytest.mark.min_speedup("75%"))
