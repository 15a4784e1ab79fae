"""One table of what can be set (flag, ini key, help, default), and what was set as one frozen value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from pytest_layers.units import (
    Size,
    parse_amount,
    parse_bytes,
    parse_cores,
    parse_seconds,
    parse_size,
)

ISOLATIONS = ("case", "none")
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
    cache_dir: Path
    cache_size: int
    memory_ceiling: str | None
    min_cores: str | None


def _words(given: Any) -> tuple[str, ...]:
    """Words apart by commas or spaces, from one text or several."""
    texts = [given] if isinstance(given, str) else list(given)
    words = [word for text in texts for word in str(text).replace(",", " ").split()]
    if not words:
        raise ValueError("nothing is named")
    return tuple(words)


def _sizes(given: Any) -> tuple[Size, ...]:
    sizes = tuple(parse_size(word) for word in _words(given))
    names = [size.name for size in sizes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is named twice")
    return sizes


def _core_count(given: Any) -> int:
    text = str(given)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a number of cores; write a whole number, 1 or more")
    return int(text)


def _isolation(given: Any) -> str:
    if given not in ISOLATIONS:
        raise ValueError(f"{given!r} is not a way to isolate; write {' or '.join(ISOLATIONS)}")
    return str(given)


def _reports(given: Any) -> tuple[Path, ...]:
    paths = [Path(path) for path in ([given] if isinstance(given, str) else given)]
    for path in paths:
        if path.suffix not in REPORT_SUFFIXES:
            raise ValueError(f"{str(path)!r}: write a file name that ends in {REPORT_SUFFIXES[0]}")
    return tuple(path.absolute() for path in paths)


def _ceiling(given: Any) -> str:
    parse_amount(given)
    return str(given)


def _floor(given: Any) -> str:
    parse_cores(given)
    return str(given)


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
        "case: every case in a fresh process; none: in place, for debugging, with figures that"
        " are tainted by what ran before (default: case)",
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
        ini_type="args",
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
        platformdirs.user_cache_path("pytest-layers"),
        lambda given: Path(given).expanduser().absolute(),
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


def is_asked_for(config: pytest.Config, name: str) -> bool:
    """Whether the setting was given at all, on the command line or in the ini file."""
    row = next(row for row in TABLE if row.name == name)
    return _given(config, row)[0] is not None


def _given(config: pytest.Config, row: Setting) -> tuple[Any, str]:
    """What was given and where: None where nothing was."""
    if row.flag:
        given = config.getoption(_dest(row))
        if given is not None:
            return given, row.flag
    given = config.getini(row.ini) if row.ini else None
    file = config.inipath.name if config.inipath else "the ini file"
    return given, f"{row.ini} in {file}"


def _read(row: Setting, given: Any, source: str) -> Any:
    try:
        return row.read(given)
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None
