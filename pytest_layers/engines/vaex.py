"""Vaex: lazy expressions over memory-mapped columns, in threads; best on HDF5."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_layers.engines.base import Engine

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterator

    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset


class Vaex(Engine):
    """`scan` gives a `vaex.DataFrame`."""

    name, layer = "vaex", "engine"
    modules, distribution = ("vaex", "h5py"), "vaex-core"
    install = 'pip install "pytest-layers[vaex]"'
    python_below = (3, 13)
    format = "hdf5"

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """The sizes of its thread pools and its home, which it reads at import."""
        return super().environment(budget) | {
            "VAEX_NUM_THREADS": str(budget.cores),
            "VAEX_NUM_THREADS_IO": str(budget.cores),
            "VAEX_HOME": str(Path(budget.temp_dir, "vaex")),
        }

    def start(self, budget: Budget) -> None:
        """Import Vaex and what opens its files, and make the executor that runs everything."""
        import asyncio

        with _without_warnings():
            import vaex
            import vaex.arrow.dataset
            import vaex.hdf5.dataset
        with _new_loops() as loops:
            self._loop = vaex.dataframe.get_main_executor().event_loop
        for loop in loops:
            if loop is not self._loop:  # vaex-core 4.19 drops it unclosed
                loop.close()
        asyncio.set_event_loop(self._loop)  # it asks for one; Python 3.12 warns where there is none
        self._files: list[Any] = []
        self.namespace, self._arrow = vaex, vaex.arrow.dataset

    def scan(self, dataset: Dataset) -> Any:
        """A lazy `DataFrame` of HDF5, Arrow or Parquet files; the first two are memory-mapped."""
        # By itself Vaex takes the format from a file's name, and columns from its folders' names.
        with _without_warnings():
            frame = self.open_with(
                dataset,
                hdf5=self.namespace.open_many,
                arrow=self._open_arrow,
                parquet=self._open_parquet,
            )
        self._files.append(frame.dataset)
        return frame

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a `DataFrame`, those that its filter passes, or of an `Expression`."""
        if isinstance(frame, self.namespace.expression.Expression):
            frame = frame.df[[frame.expression]]
        if isinstance(frame, self.namespace.dataframe.DataFrame):
            frame = frame.to_arrow_table()
        return super().collect(frame)

    def _open_arrow(self, paths: list[str]) -> Any:
        return self._concat([self._arrow.open(path, fs_options={}, fs=None) for path in paths])

    def _open_parquet(self, paths: list[str]) -> Any:
        return self._concat([self._arrow.open_parquet(path, partitioning=None) for path in paths])

    def _concat(self, opened: list[Any]) -> Any:
        return self.namespace.concat([self.namespace.from_dataset(one) for one in opened])

    def stop(self) -> None:
        """Close the files that `scan` opened, and the event loop."""
        import asyncio

        for file in self._files:
            file.close()
        self._loop.close()
        asyncio.set_event_loop(None)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without those that vaex-core 4.19 causes as it starts and opens files.

    Its strings have invalid escapes, and it drops a file handle.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _new_loops() -> Iterator[list[AbstractEventLoop]]:
    """The event loops that are made within."""
    import asyncio

    made: list[AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def noted() -> AbstractEventLoop:
        made.append(make())
        return made[-1]

    asyncio.new_event_loop = noted
    try:
        yield made
    finally:
        asyncio.new_event_loop = make
