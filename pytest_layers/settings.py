"""One table of what can be set (flag, ini key, help, default), and what was set as one frozen value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_layers.units import (
    Size,
    parse_amount,
    parse_bytes,
    parse_cores,
    parse_seconds,
    parse_size,
    parse_sizes,
)

if TYPE_CHECKING:
    from pytest_layers.engines.base import Engine
    from pytest_layers.records import Budget

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}(/\S*)?")
ISOLATIONS = ("case", "engine", "none")
REPORT_SUFFIXES = (".json",)


@dataclass(frozen=True)
class Settings:
    """What was asked for, checked."""

    layers: tuple[str, ...]
    layers_source: str
    """Where `layers` was set, for errors: `--layers`, `layers in pytest.ini`."""
    sizes: tuple[Size, ...]
    cores: int
    """Cores that engines are given; 0 for all that there are."""
    isolation: str
    strict: bool
    timeout_seconds: float
    report: tuple[Path, ...]
    list: bool
    cache_dir: Path | None
    """None for `default_cache_dir`."""
    cache_size: int
    memory_ceiling: str | None
    min_cores: str | None
    spark_heap: int
    """0 for what the engine derives from the machine's memory; so for the store."""
    ray_store: int
    spark_master: str
    """Empty for a Spark of the case's own; so for Dask's and Ray's."""
    dask_scheduler: str
    ray_address: str

    def budget(self, engine: type[Engine], temp_dir: Path, memory_bytes: int) -> Budget:
        """What an engine is given to run on, in the folder of its case, of the machine's memory."""
        from pytest_layers.records import Budget

        return Budget(
            cores=self.cores,
            memory_bytes=memory_bytes,
            temp_dir=str(temp_dir),
            address=getattr(self, engine.address_setting) if engine.address_setting else "",
            heap_bytes=self.spark_heap,
            store_bytes=self.ray_store,
        )


def _words(given: Any) -> tuple[str, ...]:
    """Words apart by commas or spaces, from one text or several."""
    texts = [given] if isinstance(given, str) else list(given)
    words = [word for text in texts for word in str(text).replace(",", " ").split()]
    if not words:
        raise ValueError("nothing is named")
    return tuple(words)


def _sizes(given: Any) -> tuple[Size, ...]:
    return parse_sizes(_words(given))


def _core_count(given: Any) -> int:
    text = str(given)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a number of cores; write a whole number, 1 or more")
    return int(text)


def _isolation(given: Any) -> str:
    if given not in ISOLATIONS:
        raise ValueError(f"{given!r} is not a way to isolate; write {', '.join(ISOLATIONS)}")
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


def _ceiling(given: Any) -> str:
    parse_amount(given)
    return str(given)


def _floor(given: Any) -> str:
    parse_cores(given)
    return str(given)


def _address(*schemes: str) -> Callable[[Any], str]:
    """A reader of `scheme://host:port`, of one of `schemes`; the empty one is `host:port` alone."""
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
        " a leading - excludes (default: local)",
        ("local",),
        _words,
        flag="--layers",
        metavar="NAMES",
        several=True,
        ini="layers",
        ini_type="args",
    ),
    Setting(
        "sizes",
        "data sizes: rows like 100k, Arrow bytes like 2GiB, a share of memory like 0.5ram"
        " (default: 1M)",
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
        _core_count,
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
        "timeout_seconds",
        "time for one case, set-up and teardown included: 90, 90s, 5min, 1h (default: 10min)",
        600.0,
        parse_seconds,
        flag="--layers-timeout",
        metavar="TIME",
        ini="layers_timeout",
    ),
    Setting(
        "report",
        "write the run to this file (.json); may be given more than once",
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
        "folder of the cached data sets (default: the user's cache folder)",
        None,
        _folder,
        flag="--layers-cache-dir",
        metavar="DIR",
        ini="layers_cache_dir",
    ),
    Setting(
        "cache_size",
        "room for cached data sets; the least recently used go first (default: 20GiB)",
        20 * 2**30,
        parse_bytes,
        flag="--layers-cache-size",
        metavar="SIZE",
        ini="layers_cache_size",
    ),
    Setting(
        "memory_ceiling",
        "memory_ceiling of every case that has no mark of its own",
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
        "spark_heap",
        "largest heap of Spark's JVM (default: a share of the machine's memory)",
        0,
        parse_bytes,
        flag="--layers-spark-heap",
        metavar="SIZE",
        ini="layers_spark_heap",
    ),
    Setting(
        "ray_store",
        "size of Ray's object store (default: a share of the machine's memory)",
        0,
        parse_bytes,
        flag="--layers-ray-store",
        metavar="SIZE",
        ini="layers_ray_store",
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


def add_options(parser: pytest.Parser) -> None:
    """Declare every flag and ini key of the table."""
    group = parser.getgroup("layers", "scaling tests over engines and sizes (pytest-layers)")
    for row in TABLE:
        if row.flag:
            group.addoption(row.flag, **_how(row), dest=_dest(row), default=None, help=row.help)
        if row.ini:
            parser.addini(row.ini, row.help, type=row.ini_type, default=None)  # type: ignore[arg-type]


def _how(row: Setting) -> dict[str, Any]:
    if not row.metavar:
        return {"action": "store_true"}
    return {"action": "append" if row.several else "store", "metavar": row.metavar}


def _dest(row: Setting) -> str:
    return f"layers_option_{row.name}"


def resolve(config: pytest.Config) -> Settings:
    """What the command line asks for, else the ini file, else the default.

    Raises:
        pytest.UsageError: a value is not what its setting accepts.
    """
    values: dict[str, Any] = {}
    for row in TABLE:
        given, source = _given(config, row)
        values[row.name] = row.default if given is None else _read(row, given, source)
        if row.name == "layers":
            values["layers_source"] = source
    return Settings(**values)


def default_cache_dir() -> Path:
    """Where data sets are kept unless told otherwise: the user's own cache folder."""
    import platformdirs

    return platformdirs.user_cache_path("pytest-layers")


def source_of(config: pytest.Config, name: str) -> str | None:
    """Where a setting was given: `--layers-cores`, `layers_cores in pytest.ini`; None where it was not."""
    row = next(row for row in TABLE if row.name == name)
    given, source = _given(config, row)
    return None if given is None else source


def _given(config: pytest.Config, row: Setting) -> tuple[Any, str]:
    """What was given and where: None where nothing was."""
    if row.flag:
        given = config.getoption(_dest(row))
        if given is not None:
            return given, row.flag
    file = config.inipath.name if config.inipath else "the ini file"
    source = f"{row.ini} in {file}"
    try:
        return (config.getini(row.ini) if row.ini else None), source
    except (ValueError, pytest.UsageError) as error:
        named = row.ini in str(error)
        raise pytest.UsageError(str(error) if named else f"{source}: {error}") from None


def _read(row: Setting, given: Any, source: str) -> Any:
    try:
        return row.read(given)
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None
