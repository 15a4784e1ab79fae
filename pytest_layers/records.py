"""The frozen values that pass between modules and processes, and the version of the JSON document made of them.

They hold only strings, numbers, tuples and other records. `to_json` and `from_json` are the only way to JSON and back,
so that messages, reports of xdist workers and the file on disk have the same form.

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
    """The machine, as far as cases may use it."""

    system: str
    """Kernel and its version: `Linux 6.18.44`."""
    python: str
    cores: int
    """Cores this process may use, by affinity and cgroup quota."""
    memory_bytes: int
    """Memory this process may use: the cgroup's limit or the RAM."""


@dataclass(frozen=True)
class Budget:
    """What an engine is given to run on: the same for every engine of a run."""

    cores: int
    memory_bytes: int
    temp_dir: str
    """A folder of the case's own, removed when the case ends."""
    address: str = ""
    """Address of the user's own cluster; the engine starts one of its own where empty."""
    heap_bytes: int = 0
    """For the heap of a JVM; derived from `memory_bytes` where 0."""
    store_bytes: int = 0
    """For an object store in shared memory; derived from `memory_bytes` where 0."""

    @property
    def spill_dir(self) -> str:
        """The folder that an engine is to spill to: the size of its files is measured."""
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
    """One test on one engine at one size; engine and size may be missing."""

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
    """Two bounds between which a value lies."""

    lower_bytes: int
    upper_bytes: int

    @property
    def width_bytes(self) -> int:
        """How exact it is."""
        return self.upper_bytes - self.lower_bytes


@dataclass(frozen=True)
class ProcessPeak:
    """The peak of one process of the tree within the window."""

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
    """The line of the team's code that ran longest near the peak, or while only one core worked."""

    when: str
    """`peak`, or `one_core`: in the longest time that wanted nearer to one core than to two."""
    file: str
    """Relative to the root of the tests, where it lies there."""
    line: int
    function: str
    call: str
    """What it called that ran then, where that is not the team's: `pandas.core.apply.apply_standard`."""
    share: float
    """Of the seconds."""
    stack_samples: int
    """How often it was met running."""
    seconds: float
    """How long the footprint was near the peak, or only one core worked."""
    source: str
    """The line itself, where its file could be read."""


@dataclass(frozen=True)
class Node:
    """What one node of the user's own cluster used within the window."""

    name: str
    """The host, and the root process of the node's tree."""
    cores: int
    base_bytes: int
    total: Bracket
    growth: Bracket
    cpu_seconds: float
    wait_seconds: float
    preempted_seconds: float
    processes: tuple[ProcessPeak, ...]


@dataclass(frozen=True)
class Timing:
    """How long one attempt at a case took, within its window."""

    wall_seconds: float
    cpu_seconds: float
    wait_seconds: float
    """Runnable, but waiting for a core."""


@dataclass(frozen=True)
class Pair:
    """Two attempts at a case, one after the other."""

    all_cores: Timing
    """On all the cores that it is given."""
    one_core: Timing


@dataclass(frozen=True)
class Speedup:
    """How many times faster a case is on all cores given than on one."""

    pairs: tuple[Pair, ...]
    factor: float
    """From the wall times as measured."""
    lower: float
    upper: float
    """An interval that contains the factor without busy neighbours; `judge.speedup` explains how."""
    serial_share: float
    """The share of the work that only one core does, from `factor` by Amdahl's law."""


@dataclass(frozen=True)
class Measurement:
    """What one case used inside its window."""

    wall_seconds: float
    cpu_seconds: float
    wait_seconds: float
    """Runnable, but waiting for a core that other programs had."""
    preempted_seconds: float
    """Of that waiting, after having been pushed off a core."""
    cores_given: int
    base_bytes: int
    """Footprint of the tree when the window began."""
    total: Bracket
    """Peak footprint of the tree: anonymous + shared (once) + swap; on a cluster plus the peaks of all nodes."""
    growth: Bracket
    """`total` less the footprint when the window began; the upper bound adds what earlier cases left behind."""
    file_bytes: int
    """Largest reading of mapped file pages. Not judged, as the kernel can drop them."""
    shared_bytes: int
    """Largest reading of shared memory (POSIX segments, memfd, tmpfs files), each counted once; part of `total`."""
    peak_seconds: float
    """When the largest footprint was read, since the window began."""
    processes: tuple[ProcessPeak, ...]
    timeline: tuple[Moment, ...]
    samples: int
    longest_gap_seconds: float
    """The longest time without a reading."""
    notes: tuple[str, ...] = ()
    """What could not be read, or not exactly, and why."""
    spilled_bytes: int = 0
    """Written to disk because memory was short: by the engine's own count or the files in its spill folder, whichever
    is more."""
    nodes: tuple[Node, ...] = ()
    """Of the user's own cluster; their memory and CPU seconds are included above."""
    lost_nodes: tuple[str, ...] = ()
    """Nodes that were lost within the window, with their readings."""
    native: dict[str, float] = field(default_factory=dict)
    """The engine's own figures for the window, by name; names end in their unit."""
    speedup: Speedup | None = None
    """Only where a limit asks for it; from further attempts."""
    where: tuple[CodeLine, ...] = ()
    """Lines of the team's code that ran when it mattered; empty where no limit names a line, or none is known."""

    @property
    def cores_used(self) -> float:
        """CPU seconds per second of wall time."""
        return self.cpu_seconds / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def cores_wanted_lower(self) -> float:
        """Cores that were kept busy, or that threads were pushed off; busy neighbours can't lower it."""
        return self._cores(self.preempted_seconds)

    @property
    def cores_wanted_upper(self) -> float:
        """Cores that were kept busy or waited for, also by threads that would not have used another core."""
        return self._cores(self.wait_seconds)

    def _cores(self, waited_seconds: float) -> float:
        """CPU time and this waiting per wall time, at most the cores given."""
        if not self.wall_seconds:
            return 0.0
        return min(self.cores_given, (self.cpu_seconds + waited_seconds) / self.wall_seconds)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one limit: asked, measured, and a text."""

    limit: Limit
    outcome: str
    """`passed`, `failed` or `inconclusive`."""
    limit_value: float
    """Bytes for a ceiling, cores or a factor for a floor."""
    measured_value: float
    """The bound that decided (bytes, cores wanted), or the speed-up."""
    text: str
    """One line: asked, measured, by how much."""
    details: str = ""
    """More lines for the failure: which process held how much, and when."""
    where: tuple[CodeLine, ...] = ()
    """Lines of the team's code that ran then; empty for a pass, or where none is known."""


@dataclass(frozen=True)
class Survival:
    """What became of a case under a hard limit."""

    limit_bytes: int
    """On all memory of its process tree, from its start on."""
    kept_by: str
    """`kernel` (a cgroup of the case's own) or `supervisor`."""
    outcome: str
    """`finished`, `spilled`, `died`, or `failed` where the test's own error does not speak of memory."""
    text: str
    """The same in a few words: how much it spilled, how it died."""


@dataclass(frozen=True)
class CaseResult:
    """One case of the run: its outcome and all that is known of it."""

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
    """The document: all results of a session."""

    schema_version: int
    plugin_version: str
    started: str
    """ISO 8601, UTC."""
    machine: Machine
    cores_given: int
    engines: dict[str, str]
    """Installed versions of the engines that took part, by engine."""
    cases: tuple[CaseResult, ...]


def spill_dir_in(temp_dir: str) -> str:
    """The spill folder of a case with this folder."""
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
    """The record of `kind` from what `to_json` gave; unknown keys are ignored."""
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
    """`data` as its annotation says: a record, a tuple, or as it is."""
    if typing.get_origin(hint) is types.UnionType:
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return None if data is None else _value(kinds[0], data)
    if typing.get_origin(hint) is tuple:
        return tuple(_value(typing.get_args(hint)[0], item) for item in data)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast("type[Any]", hint), data)
    return data
