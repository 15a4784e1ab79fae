"""What third parties may implement. The built-in engines come in through the same hook as guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pytest_layers.engines.base import Engine

hookspec = pluggy.HookspecMarker("pytest")


@hookspec
def pytest_layers_engines() -> list[type[Engine]]:  # type: ignore[empty-body]
    """Give engine classes to add to the catalog.

    Called once, when pytest is configured: implement it in an installed plugin or in the root `conftest.py`.
    An engine with the name of one that is there already is an error.

    Example, in the root `conftest.py`::

        from pytest_layers.engines.base import Engine

        class Daft(Engine):
            name, layer = "daft", "engine"
            modules, distribution = ("daft",), "daft"
            install = "pip install daft"

            def start(self, budget):
                import daft
                self.namespace = daft

            def scan(self, dataset):
                return self.namespace.read_parquet(list(dataset.paths))

            def collect(self, frame):
                return frame.to_arrow()

        def pytest_layers_engines():
            return [Daft]
    """
