"""The fixtures. The public ones use private ones (`_layers_...`), by which the plugin recognises its cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_layers import state
from pytest_layers.errors import LayersError
from pytest_layers.settings import default_cache_dir

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.datasets.store import Made, Store
    from pytest_layers.engines.base import Engine
    from pytest_layers.records import Dataset
    from pytest_layers.units import Size

WARM_UP_ROWS = 1000
DEFAULT_FORMAT = "parquet"
RUN_BY_ANOTHER = "run by another plugin in pytest's own process: its limits were not judged"
_STARTED = time.time()


@pytest.fixture
def _layers_engine(request: pytest.FixtureRequest) -> type[Engine]:
    """The class of the engine of this case."""
    name = _parameter(request, "engine")
    return request.config.stash[state.CATALOG].get(name)


@pytest.fixture
def _layers_size(request: pytest.FixtureRequest) -> Size:
    """The size of this case, as written."""
    size: Size = _parameter(request, "size")
    return size


def _parameter(request: pytest.FixtureRequest, name: str) -> Any:
    """The parameter behind the public fixture `name`, which was set at collection."""
    if not hasattr(request, "param"):
        raise _not_an_argument(name)
    return request.param


def _window(request: pytest.FixtureRequest, name: str) -> state.Window:
    """The window of this case, for the public fixture `name`."""
    if state.WINDOW in request.config.stash:
        return request.config.stash[state.WINDOW]
    if request.fixturename in request.node.fixturenames:
        raise LayersError(RUN_BY_ANOTHER)
    raise _not_an_argument(name)


def _not_an_argument(name: str) -> LayersError:
    where = "has to be an argument of the test or of its fixtures"
    return LayersError(f"{name} {where}: it can't be had by getfixturevalue")


@pytest.fixture
def _layers_store(request: pytest.FixtureRequest) -> Store:
    """The store of data sets; those that it gives stay in use until pytest ends."""
    from pytest_layers.datasets.store import Store

    stash = request.config.stash
    if state.STORE not in stash:
        settings = stash[state.SETTINGS]
        tell = _window(request, "products or dataset").progress
        folder = settings.cache_dir or default_cache_dir()
        stash[state.STORE] = Store(folder, settings.cache_bytes, tell)
    return stash[state.STORE]


@pytest.fixture
def _layers_window(request: pytest.FixtureRequest) -> state.Window:
    """The window of this case."""
    return _window(request, "measured")


@pytest.fixture
def _layers_data(
    request: pytest.FixtureRequest, _layers_window: state.Window, _layers_store: Store
) -> Callable[[Made], Dataset]:
    """A function that reports the data that the case uses; a process that made data is not measured, but restarted."""
    used: dict[tuple[str, ...], Dataset] = {}

    def use(made: Made) -> Dataset:
        if made.made:
            name, rows = made.dataset.name, made.dataset.rows
            _layers_window.start_again(f"data set {name} of {rows:,} rows was made")
        used[made.dataset.paths] = made.dataset
        rows = max(one.rows for one in used.values())
        _layers_window.data(rows=rows, arrow_bytes=sum(one.arrow_bytes for one in used.values()))
        return made.dataset

    return use


def _wrote(dataset: Dataset) -> bool:
    """Whether this process wrote the files itself: a restarted one would write them again."""
    return any(Path(path).stat().st_ctime >= _STARTED for path in dataset.paths)


@pytest.fixture
def _layers_format(request: pytest.FixtureRequest) -> str:
    """The format that the case's engine likes best."""
    if "_layers_engine" not in request.fixturenames:
        return DEFAULT_FORMAT
    engine: type[Engine] = request.getfixturevalue("_layers_engine")
    return engine.format


@pytest.fixture
def engine(
    request: pytest.FixtureRequest,
    _layers_engine: type[Engine],
    _layers_store: Store,
    _layers_window: state.Window,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Engine]:
    """The engine of this case, started and warmed up: `namespace`, `session`, `scan`, `read`, `collect`.

    `session` is DuckDB's connection, the client of Dask (also of `modin-dask`), Ray's context, the
    `SparkSession`; None on the others.
    """
    stash = request.config.stash
    keeps, kept = stash.get(state.KEEPS, False), stash.get(state.KEPT, None)
    engine = _started(_layers_engine, stash, monkeypatch) if kept is None else kept
    try:
        _layers_window.watch(engine)
        warm = _layers_store.sales(WARM_UP_ROWS, engine.format).dataset
        engine.collect(engine.scan(warm))
        if keeps and kept is None:
            _layers_window.ready()
        yield engine
    finally:
        if keeps:
            stash[state.KEPT] = engine
        else:
            engine.stop()


def _started(kind: type[Engine], stash: pytest.Stash, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A new engine of this kind, started within the budget of the settings."""
    from pytest_layers.measure.machine import memory_limit_bytes

    settings = stash[state.SETTINGS]
    budget = settings.budget(kind, stash[state.TEMP_DIR], memory_limit_bytes())
    engine = kind()
    engine.cores = kind.usable_cores(settings.cores)
    for name, value in kind.environment(budget).items():  # a child has them from its start
        monkeypatch.setenv(name, value)
    engine.start(budget)
    return engine


@pytest.fixture
def size(request: pytest.FixtureRequest, _layers_size: Size) -> int:
    """Rows of this case: of the test's `sizes` mark, else of `--layers-sizes`.

    A size in bytes or as a share of memory becomes rows at 86 Arrow bytes a row, as `sales` takes.
    """
    from pytest_layers.datasets.sales import BYTES_PER_ROW
    from pytest_layers.measure.machine import memory_limit_bytes

    ram_bytes = request.config.stash[state.SETTINGS].memory_bytes(memory_limit_bytes())
    return _layers_size.resolve_rows(bytes_per_row=BYTES_PER_ROW, ram_bytes=ram_bytes)


@pytest.fixture
def sales(
    size: int,
    _layers_store: Store,
    _layers_format: str,
    _layers_data: Callable[[Made], Dataset],
) -> Dataset:
    """The built-in sales at this size, in the format that the engine likes best."""
    return _layers_data(_layers_store.sales(size, _layers_format))


@pytest.fixture
def products(
    _layers_store: Store, _layers_format: str, _layers_data: Callable[[Made], Dataset]
) -> Dataset:
    """The built-in products that sales name: 1,000 rows, whatever the size."""
    return _layers_data(_layers_store.products(_layers_format))


@pytest.fixture
def dataset(
    _layers_store: Store, _layers_format: str, _layers_data: Callable[[Made], Dataset]
) -> Callable[..., Dataset]:
    """Data of your own: `dataset("orders", make_batches, rows=size)` or `dataset("path/to/files")`.

    `make_batches(rows)` yields `pyarrow.RecordBatch`es of one schema. They are kept in the cache, in
    the format that the engine likes best, or in `format`: `"parquet"`, `"arrow"` or `"hdf5"`. They are
    made anew when the function's source changes, or a value that it closes over or was bound to by
    `functools.partial`; not when a global or a function that it calls does: give the data another name.

    A file, a folder (its files, not those of folders in it) or a list of them is used where it is, all
    of one format: that of their names (`.parquet`, `.pq`; `.arrow`, `.ipc`, `.feather`; `.hdf5`, `.h5`),
    or `format`.
    """

    def make(
        source: str | PathLike[str] | Sequence[str | PathLike[str]],
        batches: Callable[[int], Iterable[pa.RecordBatch]] | None = None,
        *,
        rows: int | None = None,
        format: str | None = None,
    ) -> Dataset:
        if batches is None:
            found = _layers_store.existing(_paths(source), format)
            return _layers_data(replace(found, made=found.made and not _wrote(found.dataset)))
        if not (isinstance(source, str) and isinstance(rows, Integral)):
            raise LayersError("dataset(name, batches, rows=...) wants a name and a number of rows")
        made = _layers_store.make(source, batches, int(rows), format or _layers_format)
        return _layers_data(made)

    return make


def _paths(source: Any) -> list[str | PathLike[str]]:
    """The paths in what a test gave as files and folders.

    Raises:
        LayersError: something else was given.
    """
    is_one = isinstance(source, (str, bytes)) or not isinstance(source, Iterable)
    paths = [source] if is_one else list(source)
    if not all(isinstance(path, (str, PathLike)) for path in paths):
        raise LayersError(f"dataset({source!r}) wants a file, a folder or a list of them")
    return paths


class Measured:
    """Narrows the measured window: `with measured: ...` inside the test, once."""

    def __init__(self, window: state.Window) -> None:
        self._window = window
        self._entered = False

    def __enter__(self) -> None:
        if self._entered:
            raise LayersError("measured was entered before: a case has one window")
        self._entered = True
        self._window.begin()

    def __exit__(self, *error: object) -> None:
        self._window.end()


@pytest.fixture
def measured(request: pytest.FixtureRequest, _layers_window: state.Window) -> Measured:
    """A context manager that narrows the measured window; without it the call phase is the window."""
    if request.fixturename not in request.node.fixturenames:
        raise _not_an_argument("measured")  # too late: the window is open
    narrowed = Measured(_layers_window)
    request.node.stash[state.NARROWED] = narrowed
    return narrowed
