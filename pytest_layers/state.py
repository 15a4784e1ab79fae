"""Keys to what the plugin keeps on pytest's own objects, and the protocol of a measured window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from pytest_layers.datasets.store import Store
    from pytest_layers.engines.base import Engine
    from pytest_layers.engines.catalog import Catalog
    from pytest_layers.settings import Settings


class Window(Protocol):
    """How a case tells its supervisor of the measured window, its engine and its data."""

    def ready(self) -> None:
        """An engine that is to be kept has started; returns when its footprint was read."""

    def begin(self) -> None:
        """Open the window; returns when measuring has begun."""

    def end(self) -> None:
        """Close the window; returns when the last reading is done."""

    def watch(self, engine: Engine) -> None:
        """The case runs on this engine: tell it of the window, and ask it for its own figures."""

    def data(self, *, rows: int, arrow_bytes: int) -> None:
        """The data of the case so far: `rows` of its longest data set, `arrow_bytes` of all in Arrow memory."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Data is being made: `done` of `total` rows."""

    def start_again(self, reason: str) -> None:
        """This process is of no use for measuring any more: drop its reports, and start another."""


SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
CATALOG: pytest.StashKey[Catalog] = pytest.StashKey()
STORE: pytest.StashKey[Store] = pytest.StashKey()
WINDOW: pytest.StashKey[Window] = pytest.StashKey()
"""Set only where a case is being run: in its child, or in place."""
TEMP_DIR: pytest.StashKey[Path] = pytest.StashKey()
"""A folder of the case's own."""
KEEPS: pytest.StashKey[bool] = pytest.StashKey()
"""Whether the engine that a case started is kept for the next one, in `KEPT`."""
KEPT: pytest.StashKey[Engine] = pytest.StashKey()
NARROWED: pytest.StashKey[Any] = pytest.StashKey()
"""On an item: its `measured` fixture, which takes the place of the call phase."""


_COLLECTED_AS: pytest.StashKey[str] = pytest.StashKey()


def id_in_file(item: pytest.Item) -> str:
    """`TestClass::test_it[1]`: the node id after the file, without the group that xdist may have added."""
    above = (pytest.Session, pytest.Directory, pytest.File)
    return "::".join(node.name for node in item.listchain() if not isinstance(node, above))


def collected_id(item: pytest.Item) -> str:
    """The same as at collection: hooks may rename items later."""
    return item.stash.setdefault(_COLLECTED_AS, id_in_file(item))


def full_id(item: pytest.Item) -> str:
    """A node id that pytest understands in any working folder."""
    return f"{item.path}::{collected_id(item)}"
