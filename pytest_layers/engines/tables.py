"""Arrow tables between engines and tests: Arrow files, and results with plain types. Imports Arrow when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads


def mapped(paths: list[str]) -> pads.Dataset:
    """Files in the Arrow IPC format, memory-mapped: its tables are the files' own pages."""
    import pyarrow.dataset as pads
    from pyarrow.fs import LocalFileSystem

    return pads.dataset(paths, format="ipc", filesystem=LocalFileSystem(use_mmap=True))


def speaks_arrow(frame: Any) -> bool:
    """Whether it gives rows by Arrow's C interface. A single column does too, but has no name."""
    import pyarrow as pa

    return hasattr(frame, "__arrow_c_stream__") and not isinstance(frame, pa.ChunkedArray)


def plain(frame: Any) -> pa.Table:
    """A table with one Arrow type for each kind of value, so that results of engines can be compared.

    Text is `string`, bytes are `binary`, lists are `list`; dictionaries are decoded, the schema's metadata is
    dropped. Columns that have such a type already are not copied.
    """
    import pyarrow as pa

    table = pa.table(frame)
    return pa.table([_plain_column(column) for column in table.columns], table.column_names)


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    wanted = _plain_type(column.type)
    try:
        return column if column.type == wanted else column.cast(wanted)
    except pa.ArrowException:  # a chunk of more than 2 GiB of text; views, before pyarrow 18
        return column


def _plain_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    return kind
