"""Reads one process through `/proc` (Linux; proc(5)). Files stay open: a `pread` takes about 10 microseconds.

Peaks come from the kernel's own high-water mark, `VmHWM`, which also contains bursts of a few milliseconds between two
readings. It is reset by writing 5 to `clear_refs` (Documentation/filesystems/proc.rst).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
import time
from dataclasses import dataclass
from typing import NamedTuple

PAGE_BYTES = mmap.PAGESIZE
CANNOT: tuple[str, ...] = ()
"""Notes on what readings of this module can't tell: none."""
MANY_FILES = 2**20
"""Stands for "no limit on open files"."""
HAS_MARKS = TELLS_WAITING = True
"""Whether the kernel keeps high-water marks, and says how long a thread waited for a core."""
_MEMORY_LINES = re.compile(
    rb"^VmHWM:\s*(\d+) kB$.*?^RssAnon:\s*(\d+) kB$\s*^RssFile:\s*(\d+) kB$\s*"
    rb"^RssShmem:\s*(\d+) kB$.*?^VmSwap:\s*(\d+) kB$",
    re.DOTALL | re.MULTILINE,
)


class Memory(NamedTuple):
    """One reading of one process, in bytes."""

    high_water: int
    """Largest resident size (anonymous + file + shared) since the last reset."""
    anon: int
    file: int
    shmem: int
    swap: int

    @property
    def resident(self) -> int:
        """Anonymous + file + shared, now."""
        return self.anon + self.file + self.shmem


@dataclass(frozen=True)
class ChildUsage:
    """The kernel's accounting of children that ended and were waited for, and of children that those waited for."""

    cpu_seconds: float = 0.0
    largest_bytes: int = 0
    """The largest resident size of any of them."""
    minor_faults: int = 0

    def plus(self, other: ChildUsage) -> ChildUsage:
        """The usage of both together."""
        return ChildUsage(
            self.cpu_seconds + other.cpu_seconds,
            max(self.largest_bytes, other.largest_bytes),
            self.minor_faults + other.minor_faults,
        )

    def less(self, earlier: ChildUsage) -> ChildUsage:
        """What was added since; the largest size stays."""
        return ChildUsage(
            self.cpu_seconds - earlier.cpu_seconds,
            self.largest_bytes,
            self.minor_faults - earlier.minor_faults,
        )


class Identity(NamedTuple):
    """What tells one process from another, and whether two share an image since a fork."""

    name: str
    parent: int
    started: int
    """Clock ticks since boot."""
    image: tuple[int, int]
    """Addresses of code and stack: the same in forks, and chosen anew by every exec (ASLR)."""
    minor_faults: int
    children: ChildUsage
    """Usage of its children that ended and were waited for; their sizes are not known here."""
    state: str

    @property
    def is_dead(self) -> bool:
        """Whether it has ended, and was not waited for yet (a zombie)."""
        return self.state in "ZX"


class ThreadTimes(NamedTuple):
    """CPU and run-queue time of one thread, in nanoseconds."""

    cpu: int
    wait: int


class Switches(NamedTuple):
    """How often one thread left its core: to sleep, or pushed off while it still had work to do."""

    voluntary: int
    preempted: int


_SWITCH_LINES = re.compile(
    rb"^voluntary_ctxt_switches:\s*(\d+)$\s*^nonvoluntary_ctxt_switches:\s*(\d+)$", re.MULTILINE
)


def parse_status(text: bytes) -> Memory | None:
    """The memory lines of `/proc/PID/status`; None for a process without memory (a zombie)."""
    found = _MEMORY_LINES.search(text)
    return Memory(*(int(kib) * 1024 for kib in found.groups())) if found else None


def parse_stat(text: str) -> Identity:
    """The fields of `/proc/PID/stat` that are used here; the name may hold spaces and brackets."""
    start, end = text.index("("), text.rindex(")")
    fields = text[end + 2 :].split()
    return Identity(
        name=text[start + 1 : end],
        parent=int(fields[1]),
        started=int(fields[19]),
        image=(int(fields[23]), int(fields[25])),
        minor_faults=int(fields[7]),
        children=ChildUsage(
            cpu_seconds=(int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK"),
            minor_faults=int(fields[8]),
        ),
        state=fields[0],
    )


def identity(pid: int) -> Identity | None:
    """Who `pid` is, or None where there is no such process."""
    who = _identity(f"/proc/{pid}")
    if who is None or not who.is_dead or (place := folder(pid)) == f"/proc/{pid}":
        return who
    thread = _identity(place)
    return who._replace(state=thread.state, image=thread.image) if thread else who


def _identity(place: str) -> Identity | None:
    try:
        with open(f"{place}/stat", encoding="utf-8", errors="replace") as file:
            return parse_stat(file.read())
    except (OSError, ValueError):
        return None


def folder(pid: int) -> str:
    """The /proc folder of `pid`'s memory and files: of a living thread, if the main thread has ended."""
    own = f"/proc/{pid}"
    if parse_status(_read(f"{own}/status")) is None:
        for thread in thread_ids(pid):
            if parse_status(_read(f"{own}/task/{thread}/status")) is not None:
                return f"{own}/task/{thread}"
    return own


def is_dead(pid: int) -> bool:
    """Whether `pid` is gone or a zombie."""
    who = identity(pid)
    return who is None or who.is_dead


def command_line(pid: int) -> str:
    """The command line of `pid` in one line, or an empty text."""
    try:
        with open(f"{folder(pid)}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def all_pids() -> list[int]:
    """Every process of the machine but this one."""
    own = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own]


def has_in_environment(pid: int, text: str) -> bool:
    """Whether the environment that living `pid` was started with holds `text`."""
    try:
        with open(f"{folder(pid)}/environ", "rb") as file:
            return text.encode() in file.read()
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """Direct children of `pid`, by every one of its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            text = _read(f"/proc/{pid}/task/{thread}/children")
            if text:
                found += [int(child) for child in text.split()]
    return found


def proportional_bytes(pid: int) -> int | None:
    """Anonymous memory of `pid` with shared pages divided among their holders (`Pss_Anon`), swap included.

    Expensive: it takes about 14 ms per GB, and the kernel holds the process's memory lock meanwhile.
    """
    text = _read(f"{folder(pid)}/smaps_rollup")
    if b"\nPss_Anon:" not in text:  # Linux before 5.3 does not tell it apart
        return None
    kib = 0
    for line in text.split(b"\n"):
        if line.startswith((b"Pss_Anon:", b"SwapPss:")):
            kib += int(line.split()[1])
    return kib * 1024


def last_pid() -> bytes:
    """The pid given out last on this machine: while it is the same, no process was started."""
    return _read("/proc/loadavg").rsplit(b" ", 1)[-1]


def most_open_files() -> int:
    """How many descriptors this process may have."""
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MANY_FILES if most == resource.RLIM_INFINITY else most


def thread_ids(pid: int) -> list[str]:
    """The threads of `pid`; none when it is gone."""
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def open_thread(pid: int, thread: str) -> int | None:
    """A descriptor for the times of one thread, for `thread_times`."""
    try:
        return os.open(f"/proc/{pid}/task/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def thread_times(descriptor: int) -> ThreadTimes | None:
    """Times of a thread; None when it has ended."""
    try:
        cpu, wait, _ = os.pread(descriptor, 96, 0).split()
    except (OSError, ValueError):
        return None
    return ThreadTimes(int(cpu), int(wait))


def cpus_allowed(pid: int) -> frozenset[int]:
    """CPUs that `pid` may use; none when it is gone."""
    try:
        return frozenset(os.sched_getaffinity(pid))
    except OSError:
        return frozenset()


def switches(pid: int, thread: str) -> Switches | None:
    """Switches in a thread's life; None when it has ended. Several times as expensive as its times."""
    found = _SWITCH_LINES.search(_read(f"/proc/{pid}/task/{thread}/status"))
    return Switches(*map(int, found.groups())) if found else None


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process, ended threads included, exact to nanoseconds; None when it is gone.

    The clock of another process is `(~pid << 3) | 2` (clock_getcpuclockid(3), kernel's CPUCLOCK_SCHED).
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) / 1e9
    except OSError:
        return None


def suspend(pid: int) -> None:
    """Suspend a process; does nothing if it is gone."""
    _send(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Resume a process; does nothing if it is gone."""
    _send(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """Kill a process; does nothing if it is gone."""
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    """Send a signal; does nothing if the process is gone, or another user's (`sudo`)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def reap(pid: int) -> ChildUsage | None:
    """Wait for a child of this process if it has ended; gives its usage and that of descendants it waited for."""
    try:
        reaped, _, usage = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if not reaped:
        return None
    seconds = usage.ru_utime + usage.ru_stime
    return ChildUsage(seconds, usage.ru_maxrss * 1024, usage.ru_minflt)


class Process:
    """One process, with its files kept open."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = folder(pid)
        self._status = os.open(f"{self._folder}/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._status)
            raise

    def memory(self) -> Memory | None:
        """A reading, or None when it has ended."""
        memory = self._memory()
        return self._memory() if memory is None and self._reopen() else memory

    def _memory(self) -> Memory | None:
        try:
            return parse_status(os.pread(self._status, 16384, 0))
        except OSError:
            return None

    def _reopen(self) -> bool:
        """Read it at another thread from now on, if the thread it was read at has ended; gives whether that is so."""
        place = folder(self.pid)
        if place == self._folder:
            return False
        with contextlib.suppress(OSError):
            status = os.open(f"{place}/status", os.O_RDONLY | os.O_CLOEXEC)
            os.close(self._status)
            self._folder, self._status = place, status
        return True

    def minor_faults(self) -> int:
        """Page faults of its life without reading from disk; 0 when it has ended."""
        try:
            fields = os.pread(self._stat, 512, 0).rpartition(b")")[2].split(None, 8)
            return int(fields[7])
        except (OSError, IndexError):
            return 0

    def reset_peak(self) -> bool:
        """Reset the high-water mark to what is resident now; gives whether the kernel allowed it."""
        try:
            descriptor = os.open(f"{self._folder}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(descriptor, b"5")
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._status)
        os.close(self._stat)


def _read(path: str) -> bytes:
    """The whole file, which comes a page at a time; empty where it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return b"".join(iter(lambda: os.read(descriptor, 65536), b""))
    except OSError:
        return b""
    finally:
        os.close(descriptor)
