import contextlib
import mmap
import os
import shutil
import signal
import uuid
from pathlib import Path

import pytest

from pytest_layers.measure import segments
from pytest_layers.measure.procfs import Process
from pytest_layers.measure.segments import Segments

MIB = 2**20
SIZE = 8 * MIB

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(
        not segments.on_tmpfs(segments.SHARED_FOLDER), reason="no shared memory on tmpfs"
    ),
]


@pytest.fixture
def folder():
    """A folder of our own on tmpfs, so that other programs' files are not in it."""
    path = Path(segments.SHARED_FOLDER, f"layers-test-{uuid.uuid4().hex}")
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def child(stack):
    """Start forks that run a function once and stay until the test ends."""

    def start(work):
        ready, done = os.pipe()
        pid = os.fork()
        if not pid:
            work()
            os.write(done, b"x")
            while True:
                signal.pause()
        os.read(ready, 1)
        os.close(ready)
        os.close(done)
        stack.callback(os.waitpid, pid, 0)
        stack.callback(os.kill, pid, 9)
        return pid

    return start


def shared_by(*pids):
    """What each maps of shared memory, as the sampler reads it."""
    found = {}
    for pid in pids:
        process = Process(pid)
        found[pid] = process.memory().shmem
        process.close()
    return found


def make_file(path, size=SIZE):
    path.write_bytes(bytes(size))


def open_file(stack, path, mode="wb", size=SIZE):
    """A file that stays open until the test ends, with `size` written to it."""
    file = stack.enter_context(path.open(mode))
    file.write(bytes(size))
    file.flush()


def new_map(descriptor=-1, size=SIZE):
    area = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED)
    area.write(b"x" * size)
    return area


def test_a_memfd_counts_with_what_was_written_to_it(stack, folder):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    descriptor = os.memfd_create("layers")
    stack.callback(os.close, descriptor)
    os.ftruncate(descriptor, 10 * SIZE)
    os.write(descriptor, bytes(SIZE))
    assert found.read(shared_by(os.getpid())) - before == SIZE


def test_a_file_that_is_open_counts(folder, stack):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    open_file(stack, folder / "one")
    assert found.read(shared_by(os.getpid())) - before == SIZE


def test_an_unlinked_file_that_is_open_counts(folder, stack):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    open_file(stack, folder / "one")
    (folder / "one").unlink()
    assert found.read(shared_by(os.getpid())) - before == SIZE


def test_a_segment_that_is_only_mapped_counts(folder, stack):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    with (folder / "one").open("w+b") as file:
        file.truncate(SIZE)
        stack.callback(new_map(file.fileno()).close)
    (folder / "one").unlink()
    assert found.read(shared_by(os.getpid())) - before == SIZE


def test_a_map_is_found_beside_a_larger_segment_that_is_open(folder, stack):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    open_file(stack, folder / "one", size=4 * SIZE)
    stack.callback(new_map().close)
    assert found.read(shared_by(os.getpid())) - before == 5 * SIZE


def test_an_anonymous_shared_map_counts_once_in_two_processes(folder, stack, child):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    area = new_map()
    stack.callback(area.close)
    other = child(lambda: area[:])
    assert found.read(shared_by(os.getpid(), other)) - before == SIZE


def test_two_halves_of_one_map_add_up_to_it(folder, stack, child):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    area = mmap.mmap(-1, SIZE, flags=mmap.MAP_SHARED)
    stack.callback(area.close)
    area[: SIZE // 2] = b"x" * (SIZE // 2)

    def touch_the_rest():
        area[SIZE // 2 :] = b"x" * (SIZE // 2)

    other = child(touch_the_rest)
    assert found.read(shared_by(os.getpid(), other)) - before == SIZE


def test_a_file_that_two_processes_hold_counts_once(folder, stack, child):
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    open_file(stack, folder / "one")
    other = child(lambda: None)
    assert found.read(shared_by(os.getpid(), other)) - before == SIZE


def test_a_file_that_was_there_before_is_not_counted(folder, stack):
    make_file(folder / "foreign")
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    stack.enter_context((folder / "foreign").open("rb"))
    assert found.read(shared_by(os.getpid())) == before


def test_of_a_file_that_was_there_before_what_it_grew_by_counts(folder, stack):
    make_file(folder / "foreign")
    found = Segments([str(folder)])
    before = found.read(shared_by(os.getpid()))
    open_file(stack, folder / "foreign", "ab")
    assert found.read(shared_by(os.getpid())) - before == SIZE


def test_a_new_file_that_nobody_was_seen_to_hold_is_doubtful(folder):
    found = Segments([str(folder)])
    make_file(folder / "one")
    assert (found.read({}), found.doubtful_bytes) == (0, SIZE)


def test_a_file_that_was_held_once_counts_from_then_on(folder):
    found = Segments([str(folder)])
    with (folder / "one").open("wb") as file:
        file.write(bytes(SIZE))
        file.flush()
        found.read(shared_by(os.getpid()))
    assert (found.read({}), found.doubtful_bytes) == (SIZE, 0)


def test_a_file_in_a_folder_of_its_own_counts_though_nobody_holds_it(folder):
    found = Segments(own=[str(folder)])
    make_file(folder / "one")
    assert (found.read({}), found.doubtful_bytes) == (SIZE, 0)


def test_a_folder_that_is_not_on_tmpfs_is_not_looked_at():
    assert Segments(["/proc"]).read({}) == 0


def test_used_bytes_tell_of_a_new_file(folder):
    found = Segments([str(folder)])
    before = found.used_bytes()
    make_file(folder / "one", 64 * MIB)
    assert found.used_bytes() - before > 32 * MIB


def test_what_a_process_held_and_left_is_removed(folder):
    found = Segments([str(folder)])
    with (folder / "one").open("wb"):
        found.read(shared_by(os.getpid()))
    assert found.remove_left() == [str(folder / "one")]
    assert list(folder.iterdir()) == []


def test_what_no_process_was_seen_to_hold_stays(folder):
    found = Segments([str(folder)])
    make_file(folder / "foreign")
    found.read(shared_by(os.getpid()))
    assert found.remove_left() == []
    assert list(folder.iterdir()) == [folder / "foreign"]


def test_what_was_there_before_stays_though_a_process_held_it(folder, stack):
    make_file(folder / "foreign")
    found = Segments([str(folder)])
    stack.enter_context((folder / "foreign").open("rb"))
    found.read(shared_by(os.getpid()))
    assert found.remove_left() == []
