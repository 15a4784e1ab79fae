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

    Implement it in an installed plugin or in the root `conftest.py`: one in a folder below may be read too late.
    It is called without arguments, once in each process of a session (that of each case too): when the first
    case is collected, or at the start, where `layers` or `layers_cores` is set (on the command line or in the
    ini file) or `--layers-list` is given. Otherwise a suite without cases does not call it. An engine with the
    name of one that is there already is an error.

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
                return self.open_with(dataset, parquet=self.namespace.read_parquet)

            def collect(self, frame):
                return super().collect(frame.to_arrow())

        def pytest_layers_engines():
            return [Daft]
    """
