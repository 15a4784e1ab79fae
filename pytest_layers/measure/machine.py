"""Cores, memory and files that this process may use: affinity, cgroup limits (v1, v2, nested), the machine's."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import platform
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from pytest_layers.measure.host import EXACT
from pytest_layers.measure.procfs import PAGE_BYTES
from pytest_layers.records import Machine

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_FILE = Path("/proc/self/cgroup")
STAT_FILE = Path("/proc/stat")
MEMINFO_FILE = Path("/proc/meminfo")
NODES_FOLDER = Path("/sys/devices/system/node")
_UNLIMITED_BYTES = 2**60
"""cgroup v1 writes a number near 2**63 for "no limit"."""


def cgroup_folders(controller: str) -> Iterator[Path]:
    """Folders of this process's cgroup for `controller`, from its own up to the root: v1 and v2."""
    try:
        lines = CGROUP_FILE.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Several v1 controllers may be mounted in one folder, `cpu,cpuacct`, mostly with a link for each.
        for root in {
            CGROUP_ROOT / name for name in ((controller, controllers) if controllers else ("",))
        }:
            folder = root / path.lstrip("/")
            yield from (above for above in (folder, *folder.parents) if above.is_relative_to(root))


def _numbers(path: Path) -> list[float]:
    """The numbers of a cgroup file; `max` is infinite, a missing file has none."""
    with contextlib.suppress(OSError, ValueError):
        return [float(word.replace("max", "inf")) for word in path.read_text().split()]
    return []


def _quota_cores() -> float:
    """The tightest CPU quota above this process, in cores; infinite where there is none."""
    quotas = [math.inf]
    for folder in cgroup_folders("cpu"):
        limit = _numbers(folder / "cpu.max")
        if not limit:
            limit = [
                *_numbers(folder / "cpu.cfs_quota_us"),
                *_numbers(folder / "cpu.cfs_period_us"),
            ]
        if len(limit) == 2 and limit[0] > 0:
            quotas.append(limit[0] / limit[1])
    return min(quotas)


def _affinity_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def can_hold_to_cores() -> bool:
    """Whether a process can be held to some of the cores (not on macOS)."""
    return hasattr(os, "sched_setaffinity")


def available_cores() -> int:
    """Cores this process may use, by affinity and cgroup quota (rounded up); not all that the machine has."""
    return max(1, math.ceil(min(_affinity_cores(), _quota_cores())))


def memory_limit_bytes() -> int:
    """Memory this process may use: the tightest cgroup limit above it, or the RAM."""
    import psutil

    limits = [float(psutil.virtual_memory().total)]
    for folder in cgroup_folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += [limit for limit in _numbers(folder / name) if 0 < limit < _UNLIMITED_BYTES]
    return int(min(limits))


def memory_spare_bytes() -> int:
    """Memory the kernel could still give: `MemAvailable`, or the least that a cgroup has left."""
    spare = [_mem_available_bytes()]
    for folder in cgroup_folders("memory"):
        limit = _numbers(folder / "memory.max") or _numbers(folder / "memory.limit_in_bytes")
        if limit and limit[0] < _UNLIMITED_BYTES:
            spare.append(max(0, int(limit[0]) - _cgroup_used_bytes(folder)))
    return min(spare)


def _mem_available_bytes() -> int:
    if not EXACT:
        import psutil

        return int(psutil.virtual_memory().available)
    return _meminfo().get("MemAvailable", _UNLIMITED_BYTES)


def most_bytes() -> int:
    """RAM and swap of the whole machine: what any tree holds at most."""
    told = _meminfo()
    return told["MemTotal"] + told["SwapTotal"] if "MemTotal" in told else _UNLIMITED_BYTES


def shared_bytes() -> tuple[int, int] | None:
    """Shared memory of the whole machine, and swap in use for any memory; None where that is not counted."""
    told = _meminfo()
    if not told.get("Shmem"):
        return None
    return told["Shmem"], told.get("SwapTotal", 0) - told.get("SwapFree", 0)


def shared_slack_bytes() -> int:
    """How far `shared_bytes` may lag: it is counted per CPU and node, in batches of up to 125 pages (mm/vmstat.c)."""
    nodes = len(list(NODES_FOLDER.glob("node[0-9]*"))) or 1
    return os.sysconf("SC_NPROCESSORS_ONLN") * nodes * 125 * PAGE_BYTES


def huge_page_bytes() -> int:
    """Size of a huge page; 0 where it is not known."""
    return _meminfo().get("Hugepagesize", 0)


def has_files_left() -> bool:
    """Whether this process may open one more file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return not lacks_files(error)
    return True


def lacks_files(error: OSError) -> bool:
    """Whether the error says that too many files are open."""
    return error.errno in {errno.EMFILE, errno.ENFILE}


def _meminfo() -> dict[str, int]:
    """The sizes in /proc/meminfo, in bytes; none where there is no such file."""
    if not MEMINFO_FILE.exists():
        return {}
    lines = [line.split() for line in MEMINFO_FILE.read_text().splitlines()]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1] == "kB"}


def _cgroup_used_bytes(folder: Path) -> int:
    """Memory of the cgroup that the kernel can't drop: all but its page cache.

    v1 has figures of the cgroup alone and, as `total_...`, with those below it, as in v2.
    """
    try:
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return 0
    anon = int(stat.get("anon") or stat.get("total_rss") or 0)
    return anon + int(stat.get("total_shmem") or stat.get("shmem") or 0)


def is_under_quota(cpus: AbstractSet[int]) -> bool:
    """Whether a CPU quota may leave some of these CPUs idle while threads want them."""
    return _quota_cores() < len(cpus)


def busy_seconds(cpus: AbstractSet[int]) -> float | None:
    """Busy time of these CPUs since boot, as the time less their idle time; None where it is not known.

    Idle time is exact on Linux (counted when a CPU goes idle, shown in steps of 10 ms), while busy time is sampled by
    ticks. psutil gives busy time.
    """
    if not EXACT:
        return _psutil_busy_seconds()
    told = _cpu_ticks()
    if not cpus <= told.keys():
        return None
    idle = sum(told[cpu].idle for cpu in cpus) / os.sysconf("SC_CLK_TCK")
    return len(cpus) * time.monotonic() - idle


def stolen_seconds(cpus: AbstractSet[int]) -> float:
    """What the machine beneath took of these CPUs since boot while they had work; 0 where it is not told."""
    told = _cpu_ticks()
    return sum(told[cpu].stolen for cpu in cpus & told.keys()) / os.sysconf("SC_CLK_TCK")


def _psutil_busy_seconds() -> float:
    """Busy time of all CPUs."""
    import psutil

    spent = psutil.cpu_times()
    return float(spent.user + spent.system + getattr(spent, "nice", 0.0))


class _CpuTicks(NamedTuple):
    """Of one CPU since boot."""

    idle: int
    """Also for a disk."""
    stolen: int


def _cpu_ticks() -> dict[int, _CpuTicks]:
    """By CPU: `cpuN user nice system idle iowait irq softirq steal ...` (proc(5)); empty where it is not told."""
    found = {}
    with contextlib.suppress(OSError):
        for line in STAT_FILE.read_text().splitlines():
            if line[:3] == "cpu" and line[3:4].isdigit():
                name, _, _, _, idle, waiting, _, _, stolen, *_ = line.split()
                found[int(name[3:])] = _CpuTicks(int(idle) + int(waiting), int(stolen))
    return found


def oom_kills() -> int:
    """Kills by the kernel's OOM killer since boot; 0 where the kernel does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def describe() -> Machine:
    """This machine as its cases see it."""
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cores=available_cores(),
        memory_bytes=memory_limit_bytes(),
    )


def mark_slack_bytes() -> int:
    """How far a process's high-water mark may lag: counters are kept per CPU in batches (Linux 6.2 and newer)."""
    cpus = os.cpu_count() or 1
    return cpus * max(32, 2 * cpus) * PAGE_BYTES
