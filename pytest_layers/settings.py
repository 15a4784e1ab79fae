"""Reads the settings from the command line and the ini file into one checked, frozen value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_layers.options import TABLE, Setting
from pytest_layers.units import Size

if TYPE_CHECKING:
    from pytest_layers.engines.base import Engine
    from pytest_layers.records import Budget


@dataclass(frozen=True)
class Settings:
    """All settings of a session, checked."""

    layers: tuple[str, ...]
    layers_source: str
    """Where `layers` was set, for errors: `--layers`, `layers in pytest.ini`, `the default of --layers`."""
    sizes: tuple[Size, ...]
    cores: int
    """Cores that engines are given; 0, until `completed`, for all that there are."""
    isolation: str
    strict: bool
    repeat: int
    """Attempts at one case at most, while its verdict is in doubt."""
    timeout_seconds: float
    report: tuple[Path, ...]
    list: bool
    cache_dir: Path | None
    """None for `default_cache_dir`."""
    cache_bytes: int
    memory_ceiling: str | None
    min_cores: str | None
    spark_heap_bytes: int
    """0 for what the engine derives from the machine's memory; the same for the store."""
    ray_store_bytes: int
    hard_limit_bytes: int
    """Memory that a case has; 0 for all of the machine's."""
    spark_master: str
    """Empty for a Spark of the case's own; the same for Dask and Ray."""
    dask_scheduler: str
    ray_address: str

    def memory_bytes(self, machine_bytes: int) -> int:
        """The memory that a case has: the machine's, or the hard limit where that is less."""
        return min(machine_bytes, self.hard_limit_bytes or machine_bytes)

    def budget(self, engine: type[Engine], temp_dir: Path, machine_bytes: int) -> Budget:
        """What an engine is given to run on: these settings, the folder of its case, and memory of this machine."""
        from pytest_layers.records import Budget

        return Budget(
            cores=self.cores,
            memory_bytes=self.memory_bytes(machine_bytes),
            temp_dir=str(temp_dir),
            address=getattr(self, engine.address_setting) if engine.address_setting else "",
            heap_bytes=self.spark_heap_bytes,
            store_bytes=self.ray_store_bytes,
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
            values["layers_source"] = f"the default of {row.flag}" if given is None else source
    return Settings(**values)


def completed(given: Settings, config: pytest.Config, available_cores: int) -> Settings:
    """The settings with the number of cores filled in; for a debugger, and `--setup-show`, cases run in place.

    Raises:
        pytest.UsageError: more cores were asked for than there are.
    """
    if given.cores > available_cores:
        more = f"{given.cores} is more than the {available_cores} there are"
        raise pytest.UsageError(f"{source_of(config, 'cores')}: {more}")
    in_place = any(config.getoption(name, False) for name in ("usepdb", "trace", "setupshow"))
    isolation = "none" if in_place else given.isolation
    return replace(given, cores=given.cores or available_cores, isolation=isolation)


def default_cache_dir() -> Path:
    """The folder of the data sets unless one is set: in the user's own cache folder."""
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
    except (TypeError, ValueError, pytest.UsageError) as error:
        named = row.ini in str(error)
        raise pytest.UsageError(str(error) if named else f"{source}: {error}") from None


def _read(row: Setting, given: Any, source: str) -> Any:
    try:
        return row.read(given)
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None
