"""Ray: tasks and actors in worker processes, and Ray Data, over a store in shared memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_layers.engines import _ray
from pytest_layers.engines._workers import WorkersEngine

if TYPE_CHECKING:
    import pyarrow as pa

    from pytest_layers.records import Budget, Dataset


class Ray(_ray.OnRay, WorkersEngine):
    """`scan` gives a `ray.data.Dataset`; `namespace` is `ray`, for tasks and actors; `session` its context."""

    name, layer = "ray", "cluster"
    modules, distribution = ("ray", "pyarrow", "pandas"), "ray"
    install = 'pip install "pytest-layers[ray]"'
    address_setting = "ray_address"

    @classmethod
    def environment(cls, budget: Budget) -> dict[str, str]:
        """One thread in each worker, as Ray sets it, and what keeps Ray small and to itself."""
        threads = dict.fromkeys(super().environment(budget), "1")
        # Ray Data 2.60 starts 32 processes of 100 MiB to read the footers of files, be it one file's: how many of them
        # came up within a window was a matter of luck.
        footers = {"RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": str(budget.cores)}
        return threads | footers | _ray.environment(budget)

    def start(self, budget: Budget) -> None:
        """Start Ray, or connect; have Ray Data make as many blocks as there are cores, without a word."""
        import ray.data

        self.namespace = ray
        self._workers = _ray.RayWorkers(budget)
        self.session, self.cores = self._workers.context, self._workers.cores
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Ray's own old settings
            context = ray.data.DataContext.get_current()
        context.read_op_min_num_blocks = self.cores
        context.default_hash_shuffle_parallelism = self.cores
        context.enable_progress_bars = False
        context.print_on_execution_start = False

    def scan(self, dataset: Dataset) -> Any:
        """A lazy `ray.data.Dataset` of Parquet files."""
        return self.open_with(dataset, parquet=self._read_parquet)

    def collect(self, frame: Any) -> pa.Table:
        """The rows of a Ray `Dataset`, which is run, or of Arrow tables by their references."""
        ray = self.namespace
        if isinstance(frame, ray.data.Dataset):
            frame = _table(ray.get(frame.to_arrow_refs()), frame)
        if isinstance(frame, ray.ObjectRef):
            frame = ray.get(frame)
        if _is_list_of(frame, ray.ObjectRef):
            frame = _concat(ray.get(frame))
        return super().collect(frame)

    def _read_parquet(self, paths: list[str]) -> Any:
        """Files whatever their suffix: by itself Ray passes over those that are not `.parquet`."""
        suffixes = sorted({Path(path).suffix.removeprefix(".") for path in paths})
        return self.namespace.data.read_parquet(paths, partitioning=None, file_extensions=suffixes)


def _is_list_of(frame: Any, kind: type) -> bool:
    return isinstance(frame, list) and bool(frame) and all(isinstance(one, kind) for one in frame)


def _concat(parts: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([part for part in parts if part.num_columns] or parts)


def _table(parts: list[pa.Table], dataset: Any) -> pa.Table:
    """The blocks of a Ray `Dataset`, each of which has the types of its own values: where all are None, null.

    Without rows there are no blocks, or some without columns.
    """
    import pyarrow as pa

    with_columns = [part for part in parts if part.num_columns]
    if not with_columns:
        return _without_rows(dataset.schema())
    return pa.concat_tables(with_columns, promote_options="permissive")


def _without_rows(schema: Any) -> pa.Table:
    """A table of a `ray.data.Schema`, where it is known. Of what Arrow has no type for the columns are nulls."""
    import pyarrow as pa

    types = schema.types if schema else ()
    known = [kind if isinstance(kind, pa.DataType) else pa.null() for kind in types]
    names = schema.names if schema else ()
    return pa.schema(list(zip(names, known, strict=True))).empty_table()
