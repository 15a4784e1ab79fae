import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_layers.datasets import formats, sales
from pytest_layers.errors import LayersError

ROWS = formats.ROW_GROUP + 1_000

ODD = pa.record_batch(
    {
        "text": pa.array(["a", None, "", "längst", "e"]),
        "large": pa.array(["x", "yy", "zzz", "", "v"], pa.large_string()),
        "number": pa.array([1, None, 3, None, 5], pa.int16()),
        "share": pa.array([0.5, 1.5, None, 2.5, 3.5], pa.float32()),
        "flag": pa.array([True, None, False, True, False]),
        "time": pa.array([None, 1, 2, 3, 4], pa.timestamp("ms")),
        "blank": pa.array([None] * 5, pa.string()),
    }
)

SALES = list(sales.batches(ROWS))

needs_vaex = pytest.mark.skipif(not importlib.util.find_spec("vaex"), reason="needs Vaex")


def write(name, batches, folder):
    path = folder / f"data.{name}"
    formats.named(name).write(batches, path)
    return path


@pytest.mark.parametrize("batch_rows", [10_000, 300_000])
def test_parquet_row_groups_are_even_whatever_the_batches(tmp_path, batch_rows):
    path = write("parquet", sales.batches(ROWS, batch_rows=batch_rows), tmp_path)
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(2)]
    assert sizes == [formats.ROW_GROUP, 1_000]


def test_parquet_gives_back_what_was_written(tmp_path):
    path = write("parquet", sales.batches(3_000), tmp_path)
    assert pq.read_table(path).equals(pa.Table.from_batches(sales.batches(3_000)))


def test_arrow_is_read_from_a_memory_map_without_taking_memory(tmp_path):
    path = write("arrow", sales.batches(ROWS), tmp_path)
    before = pa.total_allocated_bytes()
    with pa.memory_map(str(path)) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
        assert pa.total_allocated_bytes() - before < 100_000
        assert table.equals(pa.Table.from_batches(sales.batches(ROWS)))


def test_arrow_batches_are_even_whatever_was_given(tmp_path):
    path = write("arrow", sales.batches(ROWS, batch_rows=7_000), tmp_path)
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
        assert reader.get_batch(0).num_rows == formats.ROW_GROUP
        assert reader.num_record_batches == 2


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_slices_and_empty_batches_are_written_as_they_are(tmp_path, name):
    pieces = [ODD.slice(0, 0), ODD.slice(1, 2), ODD.slice(0, 0), ODD.slice(3, 2)]
    path = write(name, pieces, tmp_path)
    assert formats.named(name).count(path).rows == 4


def test_an_extent_counts_rows_and_the_bytes_of_slices_only():
    whole = pa.record_batch({"number": pa.array(range(1_000))})
    extent = formats.Extent()
    assert len(list(extent.counting([whole.slice(0, 10), whole.slice(10, 20)]))) == 2
    assert extent == formats.Extent(rows=30, arrow_bytes=240)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_counting_a_file_agrees_with_what_was_written(tmp_path, name):
    if name == "hdf5":
        pytest.importorskip("h5py")
    extent = formats.Extent()
    path = write(name, extent.counting(sales.batches(5_000)), tmp_path)
    found = formats.named(name).count(path)
    assert found.rows == 5_000
    assert found.arrow_bytes == pytest.approx(extent.arrow_bytes, rel=0.01)


def test_hdf5_columns_are_single_blocks_of_the_rows(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = write("hdf5", sales.batches(2_000, batch_rows=300), tmp_path)
    with h5py.File(path) as file:
        columns = file["table/columns"]
        assert columns.attrs["column_order"] == ",".join(sales.SALES_SCHEMA.names)
        assert columns["amount/data"].chunks is None
        assert (columns["order_id/data"][:] == np.arange(2_000)).all()
        assert columns["note/indices"][-1] == len(columns["note/data"])


def test_hdf5_leaves_no_file_beside(tmp_path):
    pytest.importorskip("h5py")
    path = write("hdf5", sales.batches(10), tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]]),
        pa.array([1], pa.timestamp("us", tz="UTC")),
        pa.array([1], pa.date32()),
        pa.array(["a"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_hdf5_says_which_column_it_does_not_hold(tmp_path, column):
    pytest.importorskip("h5py")
    with pytest.raises(LayersError, match=r"column 'odd' is .* which hdf5 does not hold here"):
        write("hdf5", [pa.record_batch({"odd": column})], tmp_path)


@pytest.mark.parametrize("name", ["a/b", ".", ""])
def test_hdf5_says_which_name_it_does_not_hold(tmp_path, name):
    pytest.importorskip("h5py")
    with pytest.raises(LayersError, match=f"hdf5 has no column {name!r}"):
        write("hdf5", [pa.record_batch({name: [1]})], tmp_path)


def test_hdf5_of_another_layout_is_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "other.h5"
    h5py.File(path, "w").close()
    with pytest.raises(LayersError, match=r"other\.h5 is not in Vaex's layout"):
        formats.named("hdf5").count(path)


def test_hdf5_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(LayersError, match=r"pip install \"pytest-layers\[vaex\]\""):
        write("hdf5", [ODD], tmp_path)


def test_an_unknown_format_is_named_with_a_guess():
    with pytest.raises(LayersError, match="unknown format 'parket'; did you mean 'parquet'"):
        formats.named("parket")


def test_a_format_is_known_by_the_end_of_the_name(tmp_path):
    known = {
        suffix: formats.of_suffix(tmp_path / f"x{suffix}") for suffix in (".PQ", ".feather", ".h5")
    }
    assert [one.name for one in known.values()] == ["parquet", "arrow", "hdf5"]
    assert formats.of_suffix(tmp_path / "x.csv") is None


READ_WITH_VAEX = """
import sys, pyarrow, vaex
for path in sys.argv[1:]:
    table = vaex.open(path).to_arrow_table()
    with pyarrow.ipc.new_file(path + ".arrow", table.schema) as writer:
        writer.write_table(table)
"""


@pytest.fixture(scope="module")
def read_by_vaex(tmp_path_factory):
    """What Vaex reads, in a process of its own: importing it leaves an event loop open."""
    given = {"odd": [ODD.slice(0, rows) for rows in (3, 5, 1, 4, 5)], "sales": SALES}
    paths = [write("hdf5", given[name], tmp_path_factory.mktemp(name)) for name in given]
    subprocess.run([sys.executable, "-W", "ignore", "-c", READ_WITH_VAEX, *paths], check=True)
    written = map(pa.Table.from_batches, given.values())
    found = (pa.ipc.open_file(Path(f"{path}.arrow").read_bytes()).read_all() for path in paths)
    return dict(zip(given, zip(written, found, strict=True), strict=True))


@needs_vaex
@pytest.mark.real
def test_vaex_reads_nulls_and_odd_types_as_they_are(read_by_vaex):
    written, found = read_by_vaex["odd"]
    assert found.to_pylist() == written.to_pylist()


@needs_vaex
@pytest.mark.real
def test_vaex_reads_the_sales_as_they_are(read_by_vaex):
    written, found = read_by_vaex["sales"]
    assert found.schema.equals(written.schema)
    assert found.equals(written)


def test_a_dictionary_that_stays_the_same_counts_once():
    names = pa.array([f"{'name' * 10}{n}" for n in range(1000)])
    one = pa.DictionaryArray.from_arrays(pa.array([1] * 10, pa.int32()), names)
    other = pa.DictionaryArray.from_arrays(pa.array([1] * 10, pa.int32()), names.slice(1))
    batches = [pa.record_batch({"name": column}) for column in (one, one, other, other, one)]
    extent = formats.Extent()
    for _ in extent.counting(batches):
        pass
    dictionaries = 2 * names.nbytes + names.slice(1).nbytes
    assert (extent.rows, extent.arrow_bytes) == (50, dictionaries + 5 * 10 * 4)
