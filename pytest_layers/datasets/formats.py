"""Writes a stream of record batches to one file, and counts what is in a file: Parquet, Arrow IPC, HDF5.

Nothing here holds more than a few row groups in memory, however long the stream is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pytest_layers.errors import LayersError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

ROW_GROUP = 131_072
"""Rows of a Parquet row group and of an Arrow IPC batch."""


@dataclass
class Extent:
    """How much data there is: rows, and bytes in Arrow memory."""

    rows: int = 0
    arrow_bytes: int = 0

    def counting(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, each added to this extent as it passes; a dictionary that stays the same counts once."""
        known: dict[int, pa.Array] = {}
        for batch in batches:
            self.rows += batch.num_rows
            self.arrow_bytes += batch.nbytes
            for place, column in enumerate(batch.columns):
                if isinstance(column, pa.DictionaryArray):
                    if place in known and column.dictionary.equals(known[place]):
                        self.arrow_bytes -= column.dictionary.nbytes
                    known[place] = column.dictionary
            yield batch


@dataclass(frozen=True)
class Format:
    """One file format. `write` needs at least one row; `count` raises what its library raises."""

    name: str
    suffixes: tuple[str, ...]
    write: Callable[[Iterable[pa.RecordBatch], Path], None]
    count: Callable[[Path], Extent]


def named(name: str) -> Format:
    """The format of that name.

    Raises:
        LayersError: there is none; the text lists those there are.
    """
    if name not in FORMATS:
        raise LayersError(unknown("format", name, FORMATS))
    return FORMATS[name]


def of_suffix(path: Path) -> Format | None:
    """The format that the end of a file's name stands for."""
    suffix = path.suffix.lower()
    return next((known for known in FORMATS.values() if suffix in known.suffixes), None)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows, `ROW_GROUP` at a time; the last may be fewer."""
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP:
            table = pa.Table.from_batches(pending)
            whole = rows - rows % ROW_GROUP
            for start in range(0, whole, ROW_GROUP):
                yield table.slice(start, ROW_GROUP).combine_chunks()
            pending, rows = table.slice(whole).to_batches(), rows - whole
    if rows:
        yield pa.Table.from_batches(pending).combine_chunks()


def _write_parquet(batches: Iterable[pa.RecordBatch], path: Path) -> None:
    groups = _groups(batches)
    first = next(groups)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for group in groups:
            writer.write_table(group)


def _count_parquet(path: Path) -> Extent:
    # By default the whole file is read ahead and kept.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        return _extent(file.iter_batches(batch_size=ROW_GROUP))


def _write_arrow(batches: Iterable[pa.RecordBatch], path: Path) -> None:
    """Write uncompressed, so that the file can be memory-mapped."""
    groups = _groups(batches)
    first = next(groups)
    with pa.ipc.new_file(str(path), first.schema) as writer:
        writer.write_table(first)
        for group in groups:
            writer.write_table(group)


def _count_arrow(path: Path) -> Extent:
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
        return _extent(map(reader.get_batch, range(reader.num_record_batches)))


def _extent(batches: Iterable[pa.RecordBatch]) -> Extent:
    extent = Extent()
    for _ in extent.counting(batches):
        pass
    return extent


def _write_hdf5(batches: Iterable[pa.RecordBatch], path: Path) -> None:
    """Write in Vaex's layout, but without its exporter, which takes memory in proportion to the data.

    HDF5 can be memory-mapped only if each column is one block, whose length must be known before it is written. So the
    stream is first written to an Arrow file.
    """
    passing = path.with_suffix(".passing")
    try:
        _write_arrow(batches, passing)
        with pa.memory_map(str(passing)) as mapped, _h5py().File(path, "w") as file:
            _fill_hdf5(file, pa.ipc.open_file(mapped).read_all())
    finally:
        passing.unlink(missing_ok=True)


def _fill_hdf5(file: Any, table: pa.Table) -> None:
    group = file.create_group("table/columns")
    group.parent.attrs["type"] = "table"
    group.attrs["column_order"] = ",".join(table.column_names)
    for name, column in zip(table.column_names, table.columns, strict=True):
        _check_name(name)
        write = _column_writer(name, column.type)
        write(group.create_group(name), column)
        if column.null_count:
            _write_validity(group[name], column)


def _check_name(name: str) -> None:
    if "/" in name or name in {"", "."}:
        raise LayersError(
            f"hdf5 has no column {name!r}: there that is a path; use parquet or arrow, or rename it"
        )


def _column_writer(name: str, kind: pa.DataType) -> Callable[[Any, pa.ChunkedArray], None]:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _write_text
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return _write_timestamps
    if pa.types.is_primitive(kind) and not pa.types.is_temporal(kind):
        return _write_numbers
    raise LayersError(
        f"column {name!r} is {kind}, which hdf5 does not hold here: it takes numbers, booleans, "
        "strings and timestamps without a time zone; use parquet or arrow, or cast it"
    )


def _write_numbers(group: Any, column: pa.ChunkedArray) -> None:
    data = group.create_dataset("data", (len(column),), np.dtype(column.type.to_pandas_dtype()))
    for start, chunk in _placed(column):
        filled = chunk.fill_null(pa.scalar(0).cast(chunk.type))
        data[start : start + len(chunk)] = filled.to_numpy(zero_copy_only=False)


def _write_timestamps(group: Any, column: pa.ChunkedArray) -> None:
    chunks = [chunk.view(pa.int64()) for chunk in column.chunks]
    _write_numbers(group, pa.chunked_array(chunks))
    group["data"].attrs["dtype"] = f"datetime64[{column.type.unit}]"


def _write_text(group: Any, column: pa.ChunkedArray) -> None:
    """Write all texts as one block, and the offset of each."""
    total = sum(_text(chunk)[1].size for chunk in column.chunks)
    index_type = np.int32 if total <= np.iinfo(np.int32).max else np.int64
    data = group.create_dataset("data", (total,), "S1")
    data.attrs["dtype"] = "str"
    indices = group.create_dataset("indices", (len(column) + 1,), index_type)
    written = 0
    for start, chunk in _placed(column):
        begins, text = _text(chunk)
        indices[start : start + begins.size] = begins + written
        data[written : written + text.size] = text
        written += text.size


def _text(chunk: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bytes_]]:
    """The offset of each text and the end of the last, counted from 0; and the bytes."""
    chunk = chunk.cast(pa.large_string())
    _, offsets, data = chunk.buffers()
    begins = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return begins - begins[0], np.frombuffer(data or b"", "S1")[begins[0] : begins[-1]]


def _write_validity(group: Any, column: pa.ChunkedArray) -> None:
    """Write one bit per row, as in Arrow: set where there is a value."""
    bitmap = group.create_dataset("null_bitmap", (-(-len(column) // 8),), np.uint8)
    for start, chunk in _placed(column):
        lead = np.zeros(start % 8, dtype=bool)
        valid = chunk.is_valid().to_numpy(zero_copy_only=False)
        bits = np.packbits(np.concatenate([lead, valid]), bitorder="little")
        bitmap[start // 8 : start // 8 + bits.size] |= bits


def _placed(column: pa.ChunkedArray) -> Iterator[tuple[int, pa.Array]]:
    """Each chunk, with the row at which it begins."""
    start = 0
    for chunk in column.chunks:
        yield start, chunk
        start += len(chunk)


def _count_hdf5(path: Path) -> Extent:
    with _h5py().File(path, "r") as file:
        if "table/columns" not in file:
            raise LayersError(f"{path} is not in Vaex's layout: it has no group /table/columns")
        columns = list(file["table/columns"].values())
        blocks = [block for column in columns for block in column.values()]
        return Extent(_hdf5_rows(columns[0]), sum(block.nbytes for block in blocks))


def _hdf5_rows(column: Any) -> int:
    return len(column["indices"]) - 1 if "indices" in column else len(column["data"])


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        message = 'hdf5 files need h5py; pip install "pytest-layers[vaex]"'
        raise LayersError(message) from error
    return h5py


FORMATS = {
    known.name: known
    for known in (
        Format("parquet", (".parquet", ".pq"), _write_parquet, _count_parquet),
        Format("arrow", (".arrow", ".ipc", ".feather"), _write_arrow, _count_arrow),
        Format("hdf5", (".hdf5", ".h5"), _write_hdf5, _count_hdf5),
    )
}
