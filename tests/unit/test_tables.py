import pyarrow as pa
import pytest

from pytest_layers.engines import tables
from pytest_layers.engines._pandas import PandasFamily
from pytest_layers.engines.base import Engine
from pytest_layers.errors import LayersError


class Here(Engine):
    name = "here"


TEXT = pa.table({"text": pa.array(["a", None], pa.string())})


@pytest.mark.parametrize(
    "frame",
    [TEXT, TEXT.to_batches()[0], TEXT.to_reader(), TEXT.replace_schema_metadata({"pandas": "{}"})],
)
def test_what_speaks_arrow_is_collected(frame):
    collected = Here().collect(frame)
    assert collected.equals(TEXT)
    assert collected.schema.metadata is None


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ([1], "list"),
        (None, "NoneType"),
        (pa.scalar(1), "pyarrow.lib.Int64Scalar"),
        (TEXT["text"], "pyarrow.lib.ChunkedArray"),
    ],
)
def test_what_does_not_is_refused(frame, kind):
    with pytest.raises(LayersError) as error:
        Here().collect(frame)
    assert str(error.value) == f"collect takes a frame of here or an Arrow table, not {kind}"


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (pa.large_string(), pa.string()),
        (pa.dictionary(pa.int32(), pa.string()), pa.string()),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.string(), pa.string()),
    ],
)
def test_text_has_one_type(given, plain):
    column = pa.chunked_array([["a", None], ["a"]], pa.string()).cast(pa.string())
    table = tables.plain(pa.table({"text": pa.chunked_array(column.chunks).cast(given)}))
    assert table.schema.types == [plain]
    assert table["text"].to_pylist() == ["a", None, "a"]


def test_lists_have_one_type():
    nested = pa.array([["a"], None], pa.large_list(pa.large_string()))
    assert tables.plain(pa.table({"texts": nested})).schema.types == [pa.list_(pa.string())]


def test_bytes_have_one_type_and_so_has_what_is_in_a_struct():
    held = pa.array([{"a": b"x", "b": ["y"]}, None]).cast(
        pa.struct({"a": pa.large_binary(), "b": pa.large_list(pa.large_string())})
    )
    plain = tables.plain(pa.table({"held": held}))
    assert plain.schema.types == [pa.struct({"a": pa.binary(), "b": pa.list_(pa.string())})]
    assert plain["held"].to_pylist() == [{"a": b"x", "b": ["y"]}, None]


def test_plain_columns_are_not_copied():
    table = pa.table({"number": [1, 2, 3]})
    plain = tables.plain(table)
    assert (
        plain["number"].chunk(0).buffers()[1].address
        == table["number"].chunk(0).buffers()[1].address
    )


def test_mapped_files_take_no_arrow_memory(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.arrow", "b.arrow")]
    for path in paths:
        with pa.ipc.new_file(path, TEXT.schema) as writer:
            writer.write_table(TEXT)
    before = pa.total_allocated_bytes()
    mapped = tables.mapped(paths).to_table()
    assert mapped["text"].to_pylist() == ["a", None, "a", None]
    assert pa.total_allocated_bytes() == before


class TestIndexOfPandas:
    @pytest.fixture
    def engine(self):
        engine = PandasFamily()
        engine.namespace = pytest.importorskip("pandas")
        return engine

    @pytest.fixture
    def frame(self, engine):
        return engine.namespace.DataFrame({"key": ["b", "a", "b"], "m": [1, 2, 3], "n": [4, 5, 6]})

    def test_an_index_without_a_name_is_dropped(self, engine, frame):
        collected = engine.collect(frame[frame["n"] > 4])
        assert collected.to_pydict() == {"key": ["a", "b"], "m": [2, 3], "n": [5, 6]}

    def test_keys_come_first(self, engine, frame):
        collected = engine.collect(frame.groupby("key").sum())
        assert collected.to_pydict() == {"key": ["a", "b"], "m": [2, 4], "n": [5, 10]}

    def test_several_keys_keep_their_order(self, engine, frame):
        collected = engine.collect(frame.groupby(["n", "key"])["m"].sum())
        assert collected.column_names == ["n", "key", "m"]

    def test_a_key_that_is_a_column_too_is_not_doubled(self, engine, frame):
        collected = engine.collect(frame.set_index("key", drop=False))
        assert collected.column_names == ["key", "m", "n"]
