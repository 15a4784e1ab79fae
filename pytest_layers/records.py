"""The frozen values that cross rooms and the process border, and the version of the document they make.

Everything here is plain: strings, numbers, tuples, other records. `to_json` and `from_json` are the only way in
and out of JSON, so that the wire, the report on an xdist worker and the file on disk all say the same.

History of the schema:
    1  machine, engines, cases; a case holds its measurement and verdicts.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

SCHEMA_VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Machine:
    """The machine as the cases see it."""

    system: str
    """Kernel and its version: `Linux 6.18.44`."""
    python: str
    cores: int
    """Cores this process may use: affinity and cgroup quota, not what is soldered in."""
    memory_bytes: int
    """Memory this process may use: the cgroup's limit or the RAM."""


@dataclass(frozen=True)
class Budget:
    """What an engine is given to run on. Every engine of a run is told the same."""

    cores: int
    memory_bytes: int
    temp_dir: str
    """A folder of the case's own, removed when the case ends."""
    address: str = ""
    """Of the user's own cluster, to connect to; the engine starts one where empty."""
    heap_bytes: int = 0
    """For the heap of a JVM; derived from `memory_bytes` where 0."""
    store_bytes: int = 0
    """For an object store in shared memory; derived from `memory_bytes` where 0."""

    @property
    def spill_dir(self) -> str:
        """Where an engine is to write what memory does not hold: the size of its files is read from outside."""
        return spill_dir_in(self.temp_dir)


@dataclass(frozen=True)
class Dataset:
    """Data on disk that an engine can scan: one table in one or several files of one format."""

    name: str
    format: str
    """`parquet`, `arrow` (IPC file, memory-mappable) or `hdf5` (Vaex)."""
    paths: tuple[str, ...]
    rows: int
    arrow_bytes: int
    """Bytes of the whole table in Arrow memory: the `x` of a memory ceiling."""
    products: int = 0
    """Number of distinct products in it, where it is the built-in data set."""

    @property
    def path(self) -> str:
        """The file, where there is just one."""
        if len(self.paths) != 1:
            raise ValueError(f"data set {self.name!r} has {len(self.paths)} files; use .paths")
        return self.paths[0]


@dataclass(frozen=True)
class Case:
    """One engine at one size of one test; either may be missing."""

    nodeid: str
    engine: str | None = None
    layer: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Limit:
    """What a mark (or an ini default) asks of one case."""

    kind: str
    """`memory_ceiling`, `min_cores`, `min_speedup` or `max_spill`."""
    asked: str
    """As the user reads it: `0.5x + 150 MiB`, `60%`."""
    of: str = ""
    """For a ceiling: `growth`, `total` or `node`."""
    source: str = "mark"
    """`mark` or `ini`."""


@dataclass(frozen=True)
class Bracket:
    """A value known to lie between two bounds, in bytes."""

    lower_bytes: int
    upper_bytes: int

    @property
    def width_bytes(self) -> int:
        """How exact it is."""
        return self.upper_bytes - self.lower_bytes


@dataclass(frozen=True)
class ProcessPeak:
    """What one process of the tree held at most within the window."""

    pid: int
    name: str
    peak_bytes: int
    """Anonymous memory and swap, and shared memory that it mapped."""
    at_peak_bytes: int
    """What it held when the tree was at its largest."""
    cpu_seconds: float


@dataclass(frozen=True)
class Moment:
    """One point of the timeline."""

    seconds: float
    """Since the window began."""
    footprint_bytes: int
    cores_used: float
    """CPU seconds per second since the point before."""


@dataclass(frozen=True)
class CodeLine:
    """The line of the team's code that ran longest near the peak, or while one core worked alone."""

    when: str
    """`peak`, or `one_core`: within the longest stretch that wanted nearer to one core than to two."""
    file: str
    """Relative to the root of the tests, where it lies there."""
    line: int
    function: str
    call: str
    """What it called that ran then, where that is not the team's: `pandas.core.apply.apply_standard`."""
    share: float
    """Of the seconds."""
    sightings: int
    """How often it was met running."""
    seconds: float
    """How long the footprint was near the peak, or the stretch was."""
    source: str
    """The line itself, where its file could be read."""


@dataclass(frozen=True)
class Node:
    """What the engine's processes on one node of the user's own cluster needed within the window."""

    name: str
    """Host and process that the node's tree hangs from."""
    cores: int
    base_bytes: int
    total: Bracket
    growth: Bracket
    cpu_seconds: float
    wait_seconds: float
    preempted_seconds: float
    processes: tuple[ProcessPeak, ...]


@dataclass(frozen=True)
class Pace:
    """How long one run of a case took within its window."""

    wall_seconds: float
    cpu_seconds: float
    wait_seconds: float
    """Runnable, but waiting for a core."""


@dataclass(frozen=True)
class Pair:
    """Two runs of a case, one after the other."""

    all_cores: Pace
    """On all the cores that it is given."""
    one_core: Pace


@dataclass(frozen=True)
class Speedup:
    """How many times as fast as on one core a case is on all that it is given."""

    pairs: tuple[Pair, ...]
    factor: float
    """Of the wall times as they were."""
    lower: float
    upper: float
    """Ends of an interval that holds the factor as it is without busy neighbours; `judge.speedup` says how."""
    serial_share: float
    """The share of the work that only one core does, by Amdahl's law for `factor`."""


@dataclass(frozen=True)
class Measurement:
    """What one case cost, inside its window."""

    wall_seconds: float
    cpu_seconds: float
    wait_seconds: float
    """Runnable, but waiting for a core that others had."""
    preempted_seconds: float
    """Of it, after having been pushed off a core."""
    cores_given: int
    base_bytes: int
    """Footprint of the tree when the window began."""
    total: Bracket
    """Peak footprint of the tree: anonymous + shared (once) + swap; with nodes, the sum of it and of their peaks."""
    growth: Bracket
    """`total` less the footprint when the window began; upper end: less that when a kept engine had started."""
    file_bytes: int
    """Largest amount of mapped file pages seen; the kernel can drop the clean ones, so they are not judged."""
    shared_bytes: int
    """Largest shared memory seen (POSIX segments, memfd, tmpfs files), each counted once; part of `total`."""
    peak_seconds: float
    """When the largest footprint was read, since the window began."""
    processes: tuple[ProcessPeak, ...]
    timeline: tuple[Moment, ...]
    samples: int
    longest_gap_seconds: float
    """The longest time without a reading."""
    notes: tuple[str, ...] = ()
    """What was not read, or not exactly, and why."""
    spilled_bytes: int = 0
    """Written to disk because memory did not hold it: by the engine's own count, or by the files seen in its
    spill folder, whichever is more."""
    nodes: tuple[Node, ...] = ()
    """Of the user's own cluster; their memory and CPU seconds are in the sums above."""
    lost_nodes: tuple[str, ...] = ()
    """Nodes that ended within the window, with all that was read of them."""
    native: dict[str, float] = field(default_factory=dict)
    """What the engine itself knows of the window, by name; names end in their unit."""
    speedup: Speedup | None = None
    """Where a limit asks for it; from further runs."""
    where: tuple[CodeLine, ...] = ()
    """Lines of the team's code that ran when it mattered; empty where that was not asked, or is not known."""

    @property
    def cores_used(self) -> float:
        """CPU seconds per second of wall time."""
        return self.cpu_seconds / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def cores_wanted_lower(self) -> float:
        """Cores that were kept busy, or that threads were pushed off: what a busy neighbour can't lower."""
        return self._cores(self.preempted_seconds)

    @property
    def cores_wanted_upper(self) -> float:
        """Cores that were kept busy or waited for: also by a thread that waits for its turn, not for a second core."""
        return self._cores(self.wait_seconds)

    def _cores(self, waited_seconds: float) -> float:
        """Cores of the CPU time and this waiting, capped at the cores given."""
        if not self.wall_seconds:
            return 0.0
        return min(self.cores_given, (self.cpu_seconds + waited_seconds) / self.wall_seconds)


@dataclass(frozen=True)
class Verdict:
    """A limit, what was measured against it, and the outcome, with its own text."""

    limit: Limit
    outcome: str
    """`passed`, `failed` or `inconclusive`."""
    limit_value: float
    """Bytes for a ceiling, cores or a factor for a floor."""
    measured_value: float
    """The end of the bounds that decided (bytes, cores wanted), or the speed-up."""
    text: str
    """One line: asked, measured, by how much."""
    details: str = ""
    """A block for the failure: who held what, and when."""
    where: tuple[CodeLine, ...] = ()
    """Lines of the team's code that ran then, in the same run; empty for a pass, or where that is not known."""


@dataclass(frozen=True)
class Survival:
    """What became of a case that had no more memory than its hard limit."""

    limit_bytes: int
    """All the memory of its process tree, its start included."""
    kept_by: str
    """`kernel` (a cgroup of the case's own) or `supervisor`."""
    outcome: str
    """`finished`, `spilled`, `died`, or `failed` where the test's own error does not speak of memory."""
    text: str
    """The same in a few words: how much was spilled, of what it died."""


@dataclass(frozen=True)
class CaseResult:
    """One case of the run: its outcome, and what is known of it."""

    case: Case
    outcome: str
    """`passed`, `failed`, `skipped`, `xfailed`, `xpassed`, `error` or `inconclusive`."""
    rows: int = 0
    data_bytes: int = 0
    """The case's data in Arrow memory."""
    limits: tuple[Limit, ...] = ()
    measurement: Measurement | None = None
    verdicts: tuple[Verdict, ...] = ()
    attempts: int = 1
    isolation: str = "case"
    reason: str = ""
    """Why it failed or was skipped, in one line."""
    survival: Survival | None = None
    """Under a hard limit, where the test was run."""


@dataclass(frozen=True)
class Run:
    """The document: everything a run found out."""

    schema_version: int
    plugin_version: str
    started: str
    """ISO 8601, UTC."""
    machine: Machine
    cores_given: int
    engines: dict[str, str]
    """Engine to installed version, of the engines that took part."""
    cases: tuple[CaseResult, ...]


def spill_dir_in(temp_dir: str) -> str:
    """The spill folder of the case whose own folder is `temp_dir`."""
    return str(Path(temp_dir, "spill"))


def to_json(record: Any) -> Any:
    """A record as dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_json(getattr(record, field.name)) for field in _fields(type(record))}
    if isinstance(record, (tuple, list)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {key: to_json(value) for key, value in record.items()}
    return record


def from_json(kind: type[T], data: Any) -> T:
    """The record of `kind` that `to_json` made `data` of; unknown keys are passed over."""
    plain: Any = kind
    hints = _hints(plain)
    known = {
        field.name: _value(hints[field.name], data[field.name])
        for field in _fields(plain)
        if field.name in data
    }
    return kind(**known)


@functools.cache
def _fields(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, data: Any) -> Any:
    """`data` as the annotation asks: a record, a tuple of them, or as it is."""
    if typing.get_origin(hint) is types.UnionType:
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return None if data is None else _value(kinds[0], data)
    if typing.get_origin(hint) is tuple:
        return tuple(_value(typing.get_args(hint)[0], item) for item in data)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast("type[Any]", hint), data)
    return data
