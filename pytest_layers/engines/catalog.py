"""All engines, and the selection by `--layers`. Looks at the engines' classes only, imports no library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_layers.engines.base import LAYERS, Engine
from pytest_layers.errors import EngineNotRunnable, LayersError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORDS = ("all", "installed", "local")
"""What may be asked for besides layers and engines."""

_HOOK = "pytest_layers_engines"
_ATTRIBUTES = ("name", "layer", "modules", "distribution", "install")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Choice:
    """An engine that was asked for."""

    engine: type[Engine]
    named: bool
    """Whether it was asked for by its own name, not by that of its layer or one of `WORDS`."""
    obstacle: str | None
    """Why it can't run here, if it can't."""


@dataclass(frozen=True)
class Listed:
    """A row of `--layers-list`."""

    name: str
    layer: str
    version: str | None
    """The version of its distribution, if that is installed."""
    obstacle: str | None
    """Why it can't run here, or None where it can."""
    install: str
    """What removes the obstacle."""


class Catalog:
    """The engines by name, in the order of the layers, then of registration."""

    def __init__(self, engines: Iterable[type[Engine]]) -> None:
        ordered = sorted(engines, key=lambda engine: LAYERS.index(engine.layer))
        self._engines = {engine.name: engine for engine in ordered}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all engines."""
        return tuple(self._engines)

    def get(self, name: str) -> type[Engine]:
        """The engine of that name.

        Raises:
            LayersError: there is none; the text lists those there are.
        """
        if name not in self._engines:
            raise LayersError(unknown("engine", name, self._engines))
        return self._engines[name]

    def expand(self, names: Sequence[str], *, source: str, start: str = "all") -> set[str]:
        """The names of the engines that `names` stand for: layers, engines and `WORDS`.

        A leading `-` excludes; where there are only exclusions, they are taken from `start`.
        `source` says in errors where the names stand: `--layers`, `layers in pytest.ini`.

        Raises:
            LayersError: a name is unknown.
        """
        asked = [name for name in names if not name.startswith("-")] or [start]
        excluded = [name[1:] for name in names if name.startswith("-")]
        wanted = {engine for name in asked for engine in self._engines_of(name, source)}
        return wanted.difference(*(self._engines_of(name, source) for name in excluded))

    def select(self, names: Sequence[str], *, source: str) -> tuple[Choice, ...]:
        """The engines that a run was asked for, with `local` where there are only exclusions.

        Names and `source` are as in `expand`.

        Raises:
            LayersError: a name is unknown, or nothing is left.
            EngineNotRunnable: an engine asked for by its own name can't run here.
        """
        chosen = self.expand(names, source=source, start="local")
        if not chosen:
            raise LayersError(f"{source}: no engine is left of {', '.join(names)}")
        choices = [
            Choice(engine, named=name in names, obstacle=engine.obstacle())
            for name, engine in self._engines.items()
            if name in chosen
        ]
        for choice in choices:
            if choice.named and choice.obstacle:
                raise EngineNotRunnable(f"{source}: {skip_reason(choice.engine)}")
        return tuple(choices)

    def listing(self) -> tuple[Listed, ...]:
        """Every engine, and whether it can run here."""
        return tuple(
            Listed(engine.name, engine.layer, engine.version(), engine.obstacle(), engine.mend())
            for engine in self._engines.values()
        )

    def _engines_of(self, name: str, source: str) -> list[str]:
        """The engines that one name stands for."""
        known = (*LAYERS, *WORDS, *self._engines)
        if name not in known:
            raise LayersError(f"{source}: {unknown('layer or engine', name, known)}")
        return [engine.name for engine in self._engines.values() if _answers_to(engine, name)]


def build(found: Iterable[tuple[str, object]]) -> Catalog:
    """The catalog of what plugins gave: each plugin's name, and what its hook returned.

    Raises:
        LayersError: one of them gave what is no engine, or an engine that is not complete, or whose
            name is taken; the text names the plugin and the fault.
    """
    owners: dict[str, str] = {}
    engines = []
    for plugin, given in found:
        for engine in _engine_classes(plugin, given):
            _check(plugin, engine)
            if engine.name in owners:
                other = owners[engine.name]
                raise _fault(plugin, f"{engine.name!r}, an engine that plugin {other!r} has")
            owners[engine.name] = plugin
            engines.append(engine)
    return Catalog(engines)


def skip_reason(engine: type[Engine]) -> str | None:
    """Why an engine can't run here and what helps, in one line; None where it can."""
    obstacle = engine.obstacle()
    return f"{obstacle}; {engine.mend()}" if obstacle else None


def _answers_to(engine: type[Engine], name: str) -> bool:
    if name == "local":
        return LAYERS.index(engine.layer) < LAYERS.index("parallel") and not engine.starts_processes
    if name == "installed":
        return engine.obstacle() is None
    return name in {"all", engine.layer, engine.name}


def _engine_classes(plugin: str, given: object) -> list[type[Engine]]:
    classes = given if isinstance(given, (list, tuple)) else [given]
    for engine in classes:
        if not (isinstance(engine, type) and issubclass(engine, Engine)):
            raise _fault(plugin, f"{engine!r}; expected Engine classes")
    return list(classes)


def _check(plugin: str, engine: type[Engine]) -> None:
    missing = [name for name in _ATTRIBUTES if not hasattr(engine, name)]
    if missing:
        raise _fault(plugin, f"{engine.__name__}, which has no {', '.join(missing)}")
    if engine.layer not in LAYERS:
        raise _fault(plugin, f"{engine.name!r}; {unknown('layer', engine.layer, LAYERS)}")
    if not _NAME.fullmatch(engine.name):
        raise _fault(plugin, f"{engine.name!r}; a name is lower case, its words joined by '-'")
    if engine.name in {*LAYERS, *WORDS}:
        raise _fault(plugin, f"{engine.name!r}, which --layers takes for something else")


def _fault(plugin: str, what: str) -> LayersError:
    return LayersError(f"{_HOOK} in plugin {plugin!r} returned {what}")
