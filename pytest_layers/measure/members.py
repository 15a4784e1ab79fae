"""The processes that are in the tree now, and one reading of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_layers.measure import forks, machine, tree
from pytest_layers.measure.cpu import Processes
from pytest_layers.measure.host import system
from pytest_layers.measure.life import Reading
from pytest_layers.measure.procfs import Identity

_NO_FILES = "too many open files"


class Members:
    """The processes that `walk` finds, each with its /proc files kept open until it has ended."""

    def __init__(self, walk: Callable[[], list[int]]) -> None:
        self._walk = walk
        self.processes: dict[int, system.Process] = {}
        self.who: dict[int, Identity] = {}
        self.unread = ""
        """Why not all of the tree could be read; empty where it could."""
        self._gone: dict[int, int] = {}
        """Start times of processes that have ended but may still be listed, by pid."""
        self._images: dict[int, tuple[int, int]] = {}
        """At the last reading."""

    def scan(self, cpu: Processes) -> None:
        """Look which processes there are, and what each is now: it may run another program since (exec).

        Its pid may also have been given to another process, where few pids are free.
        """
        found = self._walk()
        self._gone = {pid: self._gone[pid] for pid in found if pid in self._gone}
        for pid in (*found, *self.processes.keys() - set(found)):
            who = system.identity(pid)
            if who is None or who.is_dead or self._gone.get(pid) == who.started:
                continue
            if pid in self.who and not any(who.image):  # it is ending
                continue
            if pid in self.who and self.who[pid].started != who.started:
                self._forget(pid, cpu)
            if pid not in self.processes:
                try:
                    self.processes[pid] = system.Process(pid)
                except OSError as error:
                    if machine.lacks_files(error):
                        self.unread = _NO_FILES
                    continue
            self.who[pid] = who
        if not machine.has_files_left():
            # Without a descriptor to read them by, processes look as if they had ended.
            self.unread = _NO_FILES

    def forget_dead(self, cpu: Processes) -> dict[int, Identity]:
        """Drop processes that have ended and were not waited for yet; gives them."""
        dead = tree.dead(self._walk())
        for pid in self.processes.keys() & dead.keys():
            self._forget(pid, cpu)
        return dead

    def read(self, cpu: Processes) -> list[Reading]:
        """Read each process; `cpu` was read just before."""
        families = self._families()
        readings: dict[int, Reading] = {}
        for pid, process in list(self.processes.items()):
            reading = self._read_one(process, families.get(pid, 0), readings, cpu)
            if reading is not None:
                readings[pid] = reading
        self._images = {pid: self.who[pid].image for pid in readings}
        return list(readings.values())

    def _read_one(
        self,
        process: system.Process,
        family: int,
        earlier: Mapping[int, Reading],
        cpu: Processes,
    ) -> Reading | None:
        """Read a process; None if it has ended, or runs in its parent's memory, which was read `earlier`."""
        pid = process.pid
        # Before its size is read: a vfork may turn into another program meanwhile, but never the reverse.
        borrows = forks.borrows(process, self.who[pid].parent) if family else False
        if borrows:
            return None
        # Before its size too: of one that ends meanwhile they can't be read any more.
        faults = process.minor_faults() if family else 0
        memory = process.memory()
        if memory is None:
            self._forget(pid, cpu)
            return None
        who = system.identity(pid) if family else None
        if who is not None and any(who.image):  # one that is ending has no image any more
            family = family if who.image == self.who[pid].image else 0
            self.who[pid] = who
            parent = earlier.get(who.parent) if borrows is None else None
            if parent and forks.adds_nothing(memory, who.minor_faults, parent.memory):
                return None
        spent = cpu.life_seconds(pid)
        faults = max(faults, process.minor_faults())
        who = self.who[pid]
        image = (*who.image, who.started)
        return Reading(pid, memory, spent, faults, family, image, who.parent)

    def shared_with_unread(self, twins: list[Reading]) -> set[int]:
        """Families with a fork that was not read: it is there now, or was there and has been waited for."""
        family_of = {one.pid: one.family for one in twins}
        image_of = {self.who[one.pid].image: one.family for one in twins}
        found = set()
        for pid in self._walk():
            who = system.identity(pid) if pid not in self.processes else None
            if who is not None:
                found |= {family_of.get(who.parent, 0), image_of.get(who.image, 0)}
        for pid, family in family_of.items():
            who = system.identity(pid)
            waited = self.who[pid].children.minor_faults
            if who is None or who.children.minor_faults != waited:
                found.add(family)
        return found

    def _families(self) -> dict[int, int]:
        """The family numbers of processes that share an image with another one since a fork."""
        known = self.processes.keys() & self.who.keys()
        return forks.numbers({pid: self.who[pid].image for pid in known}, self._images)

    def _forget(self, pid: int, cpu: Processes) -> None:
        self.processes.pop(pid).close()
        if pid in self.who:
            self._gone[pid] = self.who.pop(pid).started
        cpu.forget(pid)

    def close(self) -> None:
        """Give all descriptors back."""
        for process in self.processes.values():
            process.close()
        self.processes.clear()
