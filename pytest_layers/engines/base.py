"""The contract of an engine: a few attributes, `start` and `scan` to write, the rest inherited.

An engine lives in the child of one case. The parent only ever looks at the class: it reads the
attributes and asks `obstacle()` and `environment()`; it never imports the library. In the child:

1. the interpreter starts with `environment(budget)` set, so that thread counts hold from the first
   import on;
2. `start(budget)` imports the library, sets `namespace` (and `session`, where there is one), starts
   what must run;
3. the plugin warms it up on a tiny table, so that lazy imports and thread pools are not in the
   measured window;
4. the test uses `scan`, `read` and `collect`; `begin_window()` comes just before its measured
   window, `end_window()` just after;
5. `stop()` ends what `start` started. It is called also when the test failed; processes that it
   leaves are killed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_layers.engines import tables
from pytest_layers.errors import LayersError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset

LAYERS = ("classic", "memory", "engine", "parallel", "cluster")
THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class Engine:
    """One way of running a dataframe library. Subclass it, set the attributes, write the methods."""

    name: ClassVar[str]
    """Public name, as in `--layers=NAME` and in test ids: lower case, words joined by `-`."""
    layer: ClassVar[str]
    """One of `LAYERS`."""
    modules: ClassVar[tuple[str, ...]]
    """Import names it needs, looked up in the parent without importing them."""
    distribution: ClassVar[str]
    """PyPI name whose version is reported."""
    install: ClassVar[str]
    """The command that installs it: `pip install "pytest-layers[polars]"`."""
    python_below: ClassVar[tuple[int, int] | None] = None
    """First Python version it does not run on."""
    python_from: ClassVar[tuple[int, int] | None] = None
    """First Python version it runs on."""
    starts_processes: ClassVar[bool] = False
    """Whether it runs outside the process of the test; such engines are not in `--layers=local`."""
    address_setting: ClassVar[str] = ""
    """The field of `Settings` with the address of the user's own cluster, if the engine can use one."""
    max_cores: ClassVar[int | None] = None
    """The most cores it can use: 1 for pandas; None for all that it is given."""
    format: ClassVar[str] = "parquet"
    """The format that it reads best: `parquet`, `arrow` or `hdf5`."""

    namespace: Any = None
    """The library that user code calls, set by `start`: `polars`, `pyspark.sql` ..."""
    session: Any = None
    """A connection, client or session where the library has one, set by `start`."""
    cores: int = 1
    """How many of the cores given it can use, set before `start`."""

    @classmethod
    def obstacle(cls) -> str | None:
        """Why it can't run on this machine, in a few words, or None. Imports nothing."""
        if cls._wants_other_python():
            return f"{cls.name} needs Python {cls._pythons()}"
        missing = [name for name in cls.modules if not _can_find(name)]
        return f"{cls.name} is not installed ({', '.join(missing)})" if missing else None

    @classmethod
    def mend(cls) -> str:
        """What removes its obstacle: a command to run, or another Python."""
        if cls._wants_other_python():
            return f"run it with Python {cls._pythons()}"
        return cls.install

    @classmethod
    def _wants_other_python(cls) -> bool:
        here = sys.version_info[:2]
        return here >= (cls.python_below or (9, 9)) or here < (cls.python_from or (0, 0))

    @classmethod
    def _pythons(cls) -> str:
        """`3.11 or newer`, `below 3.13`, or both."""
        since, below = cls.python_from, cls.python_below
        words = [f"{since[0]}.{since[1]} or newer"] if since else []
        return ", ".join([*words, *([f"below {below[0]}.{below[1]}"] if below else [])])

    @classmethod
    def version(cls) -> str | None:
        """The installed version of its distribution, or None."""
        try:
            return importlib.metadata.version(cls.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    @classmethod
    def usable_cores(cls, cores: int) -> int:
        """How many of these cores it can use."""
        return min(cores, cls.max_cores or cores)

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """Environment variables that must be set before its library is imported.

        By default the thread counts that NumPy, Arrow and their like read; add to them with `|`.
        """
        return dict.fromkeys(THREAD_COUNTS, str(budget.cores))

    def start(self, budget: Budget) -> None:
        """Import the library, apply the budget, set `namespace` and `session`."""
        raise NotImplementedError

    def scan(self, dataset: Dataset) -> Any:
        """The data as the library's own frame, lazy where the library can."""
        raise NotImplementedError

    def read(self, dataset: Dataset) -> Any:
        """The data as the library's own frame, read into memory; by default what `scan` gives."""
        return self.scan(dataset)

    def collect(self, frame: Any) -> pa.Table:
        """Force the work of `frame` and give its rows as Arrow; also waits for asynchronous work.

        By default takes what speaks Arrow (a table, a batch, a reader, any frame that has
        `__arrow_c_stream__`) and gives it the types that all engines share. An engine turns its
        own frames into one of these, and calls this.

        Raises:
            LayersError: it is none of these; the text names its type.
        """
        if not tables.speaks_arrow(frame):
            kind = f"{type(frame).__module__}.{type(frame).__qualname__}".removeprefix("builtins.")
            raise LayersError(f"collect takes a frame of {self.name} or an Arrow table, not {kind}")
        return tables.plain(frame)

    def begin_window(self) -> None:
        """The measured window is about to open: settle down, and remember where counters stand.

        The time that this takes is not measured. By default there is nothing to do.
        """

    def end_window(self) -> dict[str, float]:
        """The library's own figures for the window that has just closed, by name.

        Names end in their unit: `spilled_bytes` (which `max_spill` judges), `shuffle_bytes`,
        `object_store_peak_bytes`. The time that this takes is not measured. By default there are none.
        """
        return {}

    def nodes(self) -> list[dict[str, Any]]:
        """What was measured on the nodes of the user's own cluster, as `_nodes.Nodes.end` gives it.

        Asked for after `end_window`. Empty where everything is in the tree of the case's process.
        """
        return []

    def stop(self) -> None:
        """End what `start` started; does nothing when called again."""

    def open_with(self, dataset: Dataset, **readers: Callable[[list[str]], Any]) -> Any:
        """Open a data set with the reader for its format; gives what the reader returns.

        Raises:
            LayersError: there is no such reader; the text names the formats that have one.
        """
        if dataset.format not in readers:
            raise LayersError(
                f"{self.name} can't read {dataset.name!r}, which is {dataset.format};"
                f" it reads {', '.join(readers)}"
            )
        return readers[dataset.format](list(dataset.paths))


def _can_find(module: str) -> bool:
    """Whether `module` can be imported, without importing it (its parent package only)."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
