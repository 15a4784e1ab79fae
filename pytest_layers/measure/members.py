"""The processes of a tree: who is there, and one reading of each."""

from __future__ import annotations

from collections.abc import Callable

from pytest_layers.measure import forks, machine, tree
from pytest_layers.measure.cpu import Processes
from pytest_layers.measure.host import system
from pytest_layers.measure.life import Reading
from pytest_layers.measure.procfs import Identity

_NO_FILES = "too many open files"


class Members:
    """Those that `walk` finds, each with its files kept open until it has ended."""

    def __init__(self, walk: Callable[[], list[int]]) -> None:
        self._walk = walk
        self.processes: dict[int, system.Process] = {}
        self.who: dict[int, Identity] = {}
        self.unread = ""
        """Why not all of the tree could be read; empty where it could."""
        self._gone: dict[int, int] = {}
        """Start times of processes that have ended but may still be listed."""
        self._images: dict[int, tuple[int, int]] = {}
        """At the last reading."""

    def scan(self, cpu: Processes) -> None:
        """Who is there, and who they are by now: a process may have gone on as another program.

        Its number may also be another's, where few are left to hand out.
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
        """Those that have ended and were not waited for yet."""
        dead = tree.dead(self._walk())
        for pid in self.processes.keys() & dead.keys():
            self._forget(pid, cpu)
        return dead

    def read(self, cpu: Processes) -> list[Reading]:
        """A reading of each; `cpu` was read just before."""
        families = self._families()
        readings: dict[int, Reading] = {}
        for pid, process in list(self.processes.items()):
            family = families.get(pid, 0)
            # Asked before its size is read: it may go on as another program, but not the other way.
            borrows = forks.borrows(process, self.who[pid].parent) if family else False
            if borrows:
                continue
            # Not told any more of one that ends meanwhile.
            faults = process.minor_faults() if family else 0
            memory = process.memory()
            if memory is None:
                self._forget(pid, cpu)
                continue
            who = system.identity(pid) if family else None
            if who is not None and any(who.image):  # one that is ending has none any more
                family = family if who.image == self.who[pid].image else 0
                self.who[pid] = who
                parent = readings.get(who.parent) if borrows is None else None
                if parent and forks.adds_nothing(memory, who.minor_faults, parent.memory):
                    continue
            spent = cpu.life_seconds(pid)
            faults = max(faults, process.minor_faults())
            who = self.who[pid]
            image = (*who.image, who.started)
            readings[pid] = Reading(pid, memory, spent, faults, family, image, who.parent)
        self._images = {pid: self.who[pid].image for pid in readings}
        return list(readings.values())

    def shared_with_unread(self, twins: list[Reading]) -> set[int]:
        """Families of which one was forked that was not read, and is there or was waited for since."""
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
        """A number for every process whose image another one shares since a fork."""
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
