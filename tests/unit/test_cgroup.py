"""A case's own cgroup, in folders that stand for the kernel's."""

import os
from pathlib import Path

import pytest

from pytest_layers.isolate import cgroup

GIB = 2**30
OOM_KILLS = {
    "memory.events": "low 0\nmax 12\noom 3\noom_kill 2\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
}


@pytest.fixture
def unit(tmp_path, monkeypatch):
    """A cgroup that was handed over; one that is removed takes its files with it, as the kernel has it."""
    folder = tmp_path / "unit"
    (folder / "tests").mkdir(parents=True)
    monkeypatch.setattr(cgroup, "_is_handed_over", lambda one: one == folder)
    remove = Path.rmdir

    def rmdir(path):
        for file in path.iterdir():
            if file.is_file():
                file.unlink()
        remove(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    return folder


def above(unit):
    return [unit / "tests", unit, unit.parent]


@pytest.fixture
def v2(unit):
    (unit / "cgroup.controllers").write_text("cpu memory\n")
    return unit


def test_version_2(v2):
    made = cgroup.make(above(v2), 17, GIB)
    assert (v2 / "cgroup.subtree_control").read_text() == "+memory"
    assert (v2 / "layers-17" / "memory.max").read_text() == str(GIB)
    assert not (v2 / "layers-17" / "memory.swap.max").exists(), "no swap, no limit of it"
    made.remove()
    assert not (v2 / "layers-17").exists()


def test_version_1(unit):
    assert cgroup.make(above(unit), 17, GIB) is not None
    assert (unit / "layers-17" / "memory.limit_in_bytes").read_text() == str(GIB)
    assert not (unit / "cgroup.subtree_control").exists()


@pytest.mark.parametrize(
    ("version", "swap", "limit"),
    [("v2", "memory.swap.max", "0"), ("unit", "memory.memsw.limit_in_bytes", str(GIB))],
)
def test_there_is_no_swap_beyond_the_limit(request, monkeypatch, version, swap, limit):
    """The kernel makes the files of a cgroup with it."""
    unit, mkdir = request.getfixturevalue(version), Path.mkdir

    def make(folder):
        mkdir(folder)
        (folder / swap).write_text("max")

    monkeypatch.setattr(Path, "mkdir", make)
    cgroup.make(above(unit), 17, GIB)
    assert (unit / "layers-17" / swap).read_text() == limit


def test_none_where_none_was_handed_over(unit):
    assert cgroup.make([unit / "tests", unit.parent], 17, GIB) is None
    assert cgroup.make([], 17, GIB) is None


def test_none_where_the_kernel_refuses(v2):
    """As where the cgroup itself has processes: the controller can't be handed down."""
    (v2 / "cgroup.subtree_control").mkdir()
    assert cgroup.make(above(v2), 17, GIB) is None
    assert sorted(path.name for path in v2.iterdir()) == [
        "cgroup.controllers",
        "cgroup.subtree_control",
        "tests",
    ]


def test_none_where_its_limit_is_refused(unit, monkeypatch):
    """What was made by then is removed."""
    write = Path.write_text

    def refuse(path, text):
        if path.name == "memory.limit_in_bytes":
            raise PermissionError
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert cgroup.make(above(unit), 17, GIB) is None
    assert [path.name for path in unit.iterdir()] == ["tests"]


def test_who_is_in_it(unit):
    made = cgroup.make(above(unit), 17, GIB)
    made.enter()
    procs = unit / "layers-17" / "cgroup.procs"
    assert procs.read_text() == "0", "the kernel takes it for the process that writes"
    procs.write_text("3\n40\n")
    assert made.holds(40)
    assert not made.holds(4)


def test_to_be_refused_is_no_error(unit):
    made = cgroup.make(above(unit), 17, GIB)
    procs = unit / "layers-17" / "cgroup.procs"
    procs.mkdir()
    made.enter()
    assert list(procs.iterdir()) == []


@pytest.mark.parametrize("name", OOM_KILLS)
def test_kills_are_told_once(unit, name):
    made = cgroup.make(above(unit), 17, GIB)
    assert made.new_kills() == 0
    (unit / "layers-17" / name).write_text(OOM_KILLS[name])
    assert made.new_kills() == 2
    assert made.new_kills() == 0


def test_what_the_case_made_below_goes_too(unit):
    made = cgroup.make(above(unit), 17, GIB)
    (unit / "layers-17" / "inner" / "deeper").mkdir(parents=True)
    made.remove()
    assert not (unit / "layers-17").exists()
    made.remove()


def test_that_of_a_supervisor_that_was_killed_is_removed(unit):
    cgroup.make(above(unit), 17, GIB)
    cgroup.make(above(unit), 18, GIB)
    cgroup.remove_of(above(unit), 17)
    cgroup.remove_of([], 18)
    assert sorted(path.name for path in unit.iterdir()) == ["layers-18", "tests"]


class TestHandedOver:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        """A cgroup of user 1000 below one of root's, by a table of owners; without marks."""
        owners = {tmp_path: 0, tmp_path / "user": 1000, tmp_path / "user" / "app": 1000}
        (tmp_path / "user" / "app").mkdir(parents=True)
        stat = Path.stat

        def owned(path, **how):
            found = list(stat(path, **how))
            found[4] = owners.get(path, found[4])
            return os.stat_result(found)

        def unmarked(path, mark):
            raise OSError

        monkeypatch.setattr(Path, "stat", owned)
        monkeypatch.setattr(os, "getxattr", unmarked)
        return tmp_path / "user"

    @pytest.mark.parametrize(("user", "is_his"), [(1000, True), (0, False), (7, False)])
    def test_to_whom_it_belongs_while_what_is_above_does_not(
        self, folder, monkeypatch, user, is_his
    ):
        monkeypatch.setattr(os, "getuid", lambda: user)
        assert cgroup._is_handed_over(folder) is is_his

    def test_not_what_another_manager_of_this_user_made(self, folder, monkeypatch):
        monkeypatch.setattr(os, "getuid", lambda: 1000)
        assert not cgroup._is_handed_over(folder / "app")

    @pytest.mark.parametrize("mark", ["user.delegate", "trusted.delegate"])
    def test_what_bears_the_mark_of_delegation(self, folder, monkeypatch, mark):
        def marked(path, name):
            if name != mark:
                raise OSError
            return b"1"

        monkeypatch.setattr(os, "getuid", lambda: 0)
        monkeypatch.setattr(os, "getxattr", marked)
        assert cgroup._is_handed_over(folder / "app")
