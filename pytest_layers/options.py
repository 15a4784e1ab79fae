"""The table of all settings: flag, ini key, help, default, and how each is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_layers.errors import guess
from pytest_layers.units import (
    WRITE_SIZE,
    Size,
    parse_amount,
    parse_bytes,
    parse_cores,
    parse_seconds,
    parse_size,
    parse_sizes,
)

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}(/\S*)?")
ISOLATIONS = ("case", "engine", "none")
REPORT_SUFFIXES = (".json",)


def _words(given: Any, accepted: str) -> tuple[str, ...]:
    """The words of one text or several, separated by commas or spaces."""
    texts = [given] if isinstance(given, str) else list(given)
    words = [word for text in texts for word in str(text).replace(",", " ").split()]
    if not words:
        raise ValueError(f"nothing is named; {accepted}")
    return tuple(words)


def _names(given: Any) -> tuple[str, ...]:
    return _words(given, "write names of engines or layers, all, installed or local")


def _sizes(given: Any) -> tuple[Size, ...]:
    return parse_sizes(_words(given, WRITE_SIZE))


def _count(of: str) -> Callable[[Any], int]:
    """A reader of a whole number, 1 or more."""

    def read(given: Any) -> int:
        text = str(given)
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"{text!r} is not a number of {of}; write a whole number, 1 or more")
        return int(text)

    return read


def _isolation(given: Any) -> str:
    if given not in ISOLATIONS:
        close = guess(given, ISOLATIONS)
        raise ValueError(f"{given!r} is not a way to isolate{close}; write {', '.join(ISOLATIONS)}")
    return str(given)


def _reports(given: Any) -> tuple[Path, ...]:
    texts = [str(path) for path in ([given] if isinstance(given, str) else given)]
    for text in texts:
        if Path(text).suffix not in REPORT_SUFFIXES:
            raise ValueError(f"{text!r}: write a file name that ends in {REPORT_SUFFIXES[0]}")
    return tuple(Path(text).absolute() for text in texts)


def _folder(given: Any) -> Path:
    if not given:
        raise ValueError("no folder is named")
    return Path(given).expanduser().absolute()


def _some_bytes(given: Any) -> int:
    size = parse_bytes(given)
    if not size:
        raise ValueError(f"{given!r} is no memory at all; write 512MiB or 2GiB")
    return size


def _ceiling(given: Any) -> str:
    parse_amount(given)
    return str(given)


def _floor(given: Any) -> str:
    parse_cores(given)
    return str(given)


def _address(*schemes: str) -> Callable[[Any], str]:
    """A reader of `scheme://host:port` with one of `schemes`; the empty scheme stands for `host:port` alone."""
    shown = " or ".join(f"{scheme}host:port" for scheme in schemes)

    def read(given: Any) -> str:
        text = str(given)
        for scheme in schemes:
            rest = text.removeprefix(scheme) if text.startswith(scheme) else ""
            if _HOST_AND_PORT.fullmatch(rest):
                return text
        raise ValueError(f"{text!r} is not an address; write {shown}")

    return read


@dataclass(frozen=True)
class Setting:
    """One row of the table; its name is the field of `Settings`."""

    name: str
    help: str
    default: Any
    read: Callable[[Any], Any]
    flag: str = ""
    """No flag where empty."""
    metavar: str = ""
    """A switch where empty."""
    several: bool = False
    """May be given more than once."""
    ini: str = ""
    ini_type: str = "string"


TABLE = (
    Setting(
        "layers",
        "engines to run the tests on: names of engines or layers, all, installed, local;"
        " a leading - excludes, from local where nothing else is named (default: local)",
        ("local",),
        _names,
        flag="--layers",
        metavar="NAMES",
        several=True,
        ini="layers",
        ini_type="args",
    ),
    Setting(
        "sizes",
        "data sizes: rows like 100k, bytes like 2GiB or a share of memory like 0.5ram, at 86 Arrow bytes"
        " a row; a test's sizes mark wins (default: 1M)",
        (parse_size("1M"),),
        _sizes,
        flag="--layers-sizes",
        metavar="SIZES",
        several=True,
        ini="layers_sizes",
        ini_type="args",
    ),
    Setting(
        "cores",
        "cores that tests and engines are given (default: all this process may use)",
        0,
        _count("cores"),
        flag="--layers-cores",
        metavar="N",
        ini="layers_cores",
    ),
    Setting(
        "isolation",
        "case: every case in a fresh process; engine: one started engine (Dask, Modin, Ray, Spark)"
        " for several cases, as long as they leave it as it was; none: in place, for debugging, with"
        " figures that are tainted by what ran before (default: case)",
        "case",
        _isolation,
        flag="--layers-isolation",
        metavar="WAY",
        ini="layers_isolation",
    ),
    Setting(
        "strict",
        "an engine that can't run here and an inconclusive verdict are failures",
        False,
        bool,
        flag="--layers-strict",
        ini="layers_strict",
        ini_type="bool",
    ),
    Setting(
        "repeat",
        "runs of one case at most, while its verdict is in doubt; 1 runs none again; those of min_speedup"
        " and those in a kept engine come on top (default: 3)",
        3,
        _count("runs"),
        flag="--layers-repeat",
        metavar="N",
        ini="layers_repeat",
    ),
    Setting(
        "timeout_seconds",
        "time for one run of a case, set-up and teardown included: 90, 90s, 5min, 1h (default: 10min)",
        600.0,
        parse_seconds,
        flag="--layers-timeout",
        metavar="TIME",
        ini="layers_timeout",
    ),
    Setting(
        "report",
        "write the run to this file (.json); may be given more than once; relative to where pytest is"
        " started, in the ini file to that file",
        (),
        _reports,
        flag="--layers-report",
        metavar="FILE",
        several=True,
        ini="layers_report",
        ini_type="paths",
    ),
    Setting(
        "list",
        "list the engines, whether they can run here and how to install them, and exit",
        False,
        bool,
        flag="--layers-list",
    ),
    Setting(
        "cache_dir",
        "folder of the cached data sets, relative to where pytest is started (default: the user's cache"
        " folder)",
        None,
        _folder,
        flag="--layers-cache-dir",
        metavar="DIR",
        ini="layers_cache_dir",
    ),
    Setting(
        "cache_bytes",
        "room for cached data sets, like 500MiB or 20GiB; the least recently used go first"
        " (default: 20GiB)",
        20 * 2**30,
        parse_bytes,
        flag="--layers-cache-size",
        metavar="SIZE",
        ini="layers_cache_size",
    ),
    Setting(
        "memory_ceiling",
        "memory_ceiling of every case that has no mark of its own; one in x or B/row reaches only those"
        " with data",
        None,
        _ceiling,
        ini="layers_memory_ceiling",
    ),
    Setting(
        "min_cores",
        "min_cores of every case that has no mark of its own",
        None,
        _floor,
        ini="layers_min_cores",
    ),
    Setting(
        "spark_heap_bytes",
        "largest heap of Spark's JVM, like 512MiB or 2GiB (default: a quarter of the memory or of the hard"
        " limit, from 512MiB to 4GiB)",
        0,
        parse_bytes,
        flag="--layers-spark-heap",
        metavar="SIZE",
        ini="layers_spark_heap",
    ),
    Setting(
        "ray_store_bytes",
        "size of Ray's object store, like 512MiB or 2GiB (default: a twentieth of the memory or of the hard"
        " limit, from 80MiB to 1GiB)",
        0,
        parse_bytes,
        flag="--layers-ray-store",
        metavar="SIZE",
        ini="layers_ray_store",
    ),
    Setting(
        "hard_limit_bytes",
        "run every case as on a machine with that much memory (2GiB): a case that takes more is ended at"
        " once, and the report says what its engine did (default: no limit)",
        0,
        _some_bytes,
        flag="--layers-hard-limit",
        metavar="SIZE",
        ini="layers_hard_limit",
    ),
    Setting(
        "spark_master",
        "run Spark on this cluster: spark://host:port, or sc://host:port (Spark Connect)",
        "",
        _address("spark://", "sc://"),
        flag="--layers-spark-master",
        metavar="URL",
        ini="layers_spark_master",
    ),
    Setting(
        "dask_scheduler",
        "run Dask, and Modin on it, on this cluster: tcp://host:port",
        "",
        _address("tcp://"),
        flag="--layers-dask-scheduler",
        metavar="URL",
        ini="layers_dask_scheduler",
    ),
    Setting(
        "ray_address",
        "run Ray, and Modin on it, on this cluster: host:port, as of ray start --head",
        "",
        _address(""),
        flag="--layers-ray-address",
        metavar="ADDRESS",
        ini="layers_ray_address",
    ),
)
