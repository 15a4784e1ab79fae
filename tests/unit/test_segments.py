import contextlib
import ctypes
import mmap
import os
import shutil
import signal
import uuid
from pathlib import Path

import pytest

from pytest_layers.measure import machine, segments
from pytest_layers.measure.procfs import Process
from pytest_layers.measure.segments import SHARE, Segments
from pytest_layers.records import Bracket

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


class TestLook:
    """Between two readings sizes are known by what each process maps, and by what is used of the folders."""

    COST = 0.001

    @pytest.fixture
    def looked(self, monkeypatch):
        """Give one look the time, what processes map in MiB, and what is used; what is read stays scripted."""
        monkeypatch.setattr(machine, "shared_slack_bytes", lambda: 0)
        found = Segments([])
        spent = iter(range(10**6))
        monkeypatch.setattr(segments.time, "thread_time", lambda: self.COST * next(spent))
        found.read_bytes = 100 * MIB
        read = found.read
        monkeypatch.setattr(
            found, "read", lambda *told, due: read(*told, due=due) or found.read_bytes
        )

        def look(now, *mapped, used=0, machines=None, due=False):
            monkeypatch.setattr(found, "used_bytes", lambda: used * MIB)
            told = None if machines is None else tuple(size * MIB for size in machines)
            monkeypatch.setattr(machine, "shared_bytes", lambda: told)
            bytes_of = {pid: size * MIB for pid, size in enumerate(mapped)}
            bracket = found.look(now, bytes_of, due=due)
            return bracket.lower_bytes / MIB, bracket.upper_bytes / MIB

        look(0.0, 100, due=True)
        look.segments = found
        return look

    def test_what_is_read_is_exact(self, looked):
        looked.segments.read_bytes = 130 * MIB
        assert looked(0.001, 500, due=True) == (130, 130)

    def test_until_then_they_have_grown_by_what_is_mapped_or_used_more(self, looked):
        assert looked(0.001, 140, 10, used=7) == (100, 157)

    def test_but_by_no_more_than_the_whole_machine_for_all_may_map_the_same(self, looked):
        looked(0.001, 100, machines=(500, 0), due=True)
        assert looked(0.002, 300, 200, 200, machines=(530, 0)) == (100, 130)
        assert looked(0.002, 300, 200, 200, machines=(530, 7)) == (100, 137)
        assert looked(0.002, 300, 200, 200, machines=(490, 0)) == (90, 100)

    def test_and_by_what_the_tree_gave_back_meanwhile(self, looked):
        looked(0.001, 100, machines=(500, 0), due=True)
        assert looked(0.002, 60, 400, machines=(530, 0)) == (60, 170)

    def test_what_nobody_maps_may_be_gone_where_the_machine_has_less(self, looked):
        looked(0.001, machines=(500, 7), due=True)
        assert looked(0.002, machines=(430, 7)) == (30, 100)
        assert looked(0.002, machines=(430, 77)) == (100, 100)

    def test_what_grew_while_sizes_were_read_is_not_sure_when_it_is_gone(self, looked, monkeypatch):
        told = iter([(500 * MIB, 0), (700 * MIB, 0), (500 * MIB, 0)])
        looked.segments.read_bytes = 300 * MIB
        monkeypatch.setattr(looked.segments, "used_bytes", lambda: 0)
        monkeypatch.setattr(machine, "shared_bytes", lambda: next(told))
        assert looked.segments.look(0.001, {0: 100 * MIB}, due=True).lower_bytes == 300 * MIB
        assert looked.segments.look(0.002, {0: 0}, due=False).lower_bytes == 100 * MIB

    def test_and_shrunk_by_what_is_mapped_or_used_less(self, looked):
        assert looked(0.001, 70) == (70, 100)
        assert looked(0.001) == (0, 100)

    def test_what_one_lets_go_while_another_maps_more_hides_nothing(self, looked):
        assert looked(0.001, 60, 40) == (60, 140)

    def test_what_moved_is_read_again_once_the_last_time_is_paid_for(self, looked):
        looked.segments.read_bytes = 180 * MIB
        paid = self.COST / SHARE
        assert looked(0.9 * paid, 180) == (100, 180)
        assert looked(1.1 * paid, 180) == (180, 180)

    def test_what_stands_still_is_not_read_again(self, looked):
        looked.segments.read_bytes = 180 * MIB
        assert looked(60.0, 100) == (100, 100)


@pytest.mark.parametrize("machines", [None, (500 * MIB, 0)])
def test_a_file_is_not_gone_when_one_who_mapped_it_has_ended(folder, monkeypatch, machines):
    monkeypatch.setattr(machine, "shared_bytes", lambda: machines)
    monkeypatch.setattr(machine, "shared_slack_bytes", lambda: 0)
    found = Segments([str(folder)], own=[str(folder)])
    make_file(folder / "one", 6 * MIB)
    make_file(folder / "other", 4 * MIB)
    assert found.look(0.0, {1: 6 * MIB, 2: 6 * MIB}, due=True).lower_bytes == 10 * MIB
    told = found.look(0.0, {1: 6 * MIB}, due=False)
    assert (told.lower_bytes, told.upper_bytes) == (10 * MIB, 10 * MIB)
    os.truncate(folder / "one", 5 * MIB)
    (folder / "one").replace(folder / "other")
    assert found.look(0.0, {}, due=False).lower_bytes == 0


def test_a_file_that_others_map_more_of_has_not_grown(folder, monkeypatch):
    monkeypatch.setattr(machine, "shared_bytes", lambda: (500 * MIB, 0))
    monkeypatch.setattr(machine, "shared_slack_bytes", lambda: 0)
    found = Segments([str(folder)], own=[str(folder)])
    make_file(folder / "one", 6 * MIB)
    found.look(0.0, {1: 6 * MIB, 2: 6 * MIB, 3: 0}, due=True)
    told = found.look(0.0, {1: 6 * MIB, 3: 6 * MIB}, due=False)
    assert (told.lower_bytes, told.upper_bytes) == (6 * MIB, 6 * MIB)


def test_maps_are_read_again_of_those_alone_that_map_more_or_less_unless_all_are_due(monkeypatch):
    found, asked = Segments([]), []
    monkeypatch.setattr(segments, "mapped", lambda pid: asked.append(pid) or set())
    found.read({1: MIB, 2: MIB, 3: 0})
    found.read({1: MIB, 2: 2 * MIB, 3: MIB}, due=False)
    found.read({1: MIB})
    assert asked == [1, 2, 2, 3, 1]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ((700, 700, 700, 700), (600, 600)),
        ((700, 700, 700, 956), (599, 600)),
        ((700, 700, 700, 957), (400, 600)),
    ],
)
def test_shares_of_maps_that_moved_while_they_were_read_are_sure_of_the_largest_alone(
    monkeypatch, pages, expected
):
    """By more than 1 MiB: 256 pages are taken off."""
    one, other, mib = (1, 1), (1, 2), MIB
    told = {
        10: {one: {b"Rss": 400 * mib, b"Pss": 400 * mib}, other: {b"Rss": mib, b"Pss": mib}},
        11: {one: {b"Rss": 400 * mib, b"Pss": 200 * mib}},
    }
    told_pages = iter(pages)
    monkeypatch.setattr(segments, "mapped_bytes", told.get)
    monkeypatch.setattr(segments, "_mapped_pages", lambda pid: next(told_pages))
    found, resident = segments.mapped_by_all([10, 11], known={other})
    assert found == {one: Bracket(*(size * mib for size in expected))}
    assert resident == {10: 401 * mib, 11: 400 * mib}


def test_what_a_map_grew_by_before_its_size_was_read_does_not_count_twice(monkeypatch):
    monkeypatch.setattr(machine, "shared_bytes", lambda: None)
    monkeypatch.setattr(segments, "mapped", lambda pid: {(1, 1)})
    told = {(1, 1): {b"Rss": 40 * MIB, b"Pss": 40 * MIB}}
    monkeypatch.setattr(segments, "mapped_bytes", lambda pid: told)
    found = Segments([])
    found.look(0.0, {1: 30 * MIB}, due=True)
    assert found.look(0.0, {1: 50 * MIB}, due=False).upper_bytes == 50 * MIB


def test_a_segment_without_a_name_is_the_shares_of_all_who_map_it(stack):
    area = stack.enter_context(mmap.mmap(-1, SIZE))
    area.write(b"x" * SIZE)
    found = Segments([])
    told = found.look(0.0, shared_by(os.getpid()), due=True)
    assert told.lower_bytes == told.upper_bytes >= SIZE


@pytest.fixture
def system_v():
    """Make System V segments, with every page touched, that nobody is attached to."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmat.argtypes = ctypes.c_int, ctypes.c_void_p, ctypes.c_int
    libc.shmdt.argtypes = (ctypes.c_void_p,)
    numbers = []

    def make():
        number = libc.shmget(0, SIZE, 0o1600)
        if number < 0:
            pytest.skip("no System V segments here")
        numbers.append(number)
        place = libc.shmat(number, None, 0)
        ctypes.memset(place, 1, SIZE)
        libc.shmdt(place)

    yield make
    for number in numbers:
        libc.shmctl(number, 0, None)


class TestSystemV:
    def test_one_that_nobody_is_attached_to_counts(self, folder, system_v):
        found = Segments([str(folder)])
        before = found.read(shared_by(os.getpid()))
        system_v()
        system_v()
        assert found.read(shared_by(os.getpid())) - before == 2 * SIZE

    def test_also_when_all_who_used_it_have_ended(self, folder, system_v):
        found = Segments([str(folder)])
        before = found.read(shared_by(os.getpid()))
        system_v()
        found.read(shared_by(os.getpid()))
        assert found.read({}) - before == SIZE

    def test_one_that_was_there_before_does_not(self, folder, system_v):
        before = Segments([str(folder)]).read(shared_by(os.getpid()))
        system_v()
        assert Segments([str(folder)]).read(shared_by(os.getpid())) == before

    def test_one_that_another_made_is_doubtful(self, folder, system_v):
        found = Segments([str(folder)])
        system_v()
        assert found.read({1: 0}) == 0
        assert found.doubtful_bytes == SIZE

    def test_its_number_is_no_inode_of_another_map(self):
        line = b"7f00-7f01 rw-s 00000000 00:01 5                  "
        found = [
            segments._key(*segments._MAPPED.match(line + name).groups())
            for name in (b"/SYSV00000000 (deleted)", b"/dev/zero (deleted)")
        ]
        assert found == [(-1, 5), (1, 5)]


def test_a_segment_that_appears_is_told_of_at_once(folder, stack):
    found = Segments([str(folder)])
    mine = shared_by(os.getpid())
    before = found.look(0.0, mine, due=True)
    with (folder / "one").open("w+b") as file:
        file.truncate(SIZE)
        area = stack.enter_context(mmap.mmap(file.fileno(), SIZE))
        area.write(b"x" * SIZE)
    soon = found.look(0.0, shared_by(os.getpid()), due=False)
    assert soon.upper_bytes >= before.upper_bytes + SIZE
    later = found.look(60.0, shared_by(os.getpid()), due=False)
    assert later == Bracket(*(before.upper_bytes + SIZE,) * 2)
