import errno
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_layers.datasets import formats
from pytest_layers.datasets import sales as builtin
from pytest_layers.datasets.store import Store
from pytest_layers.errors import LayersError

PLENTY = 2**40


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def open_store(root):
    opened = []

    def opener(limit_bytes=PLENTY, progress=lambda *_: None):
        opened.append(Store(root, limit_bytes, progress))
        return opened[-1]

    yield opener
    for one in opened:
        one.close()


@pytest.fixture
def store(open_store):
    return open_store()


def numbers(rows):
    yield pa.record_batch({"number": pa.array(range(rows))})


def halves(rows):
    yield from numbers(rows // 2)
    yield from numbers(rows // 2)


def folders(root):
    return sorted(manifest.parent for manifest in root.glob("*/dataset.json"))


def age(dataset, seconds):
    os.utime(Path(dataset.path).parent / "dataset.json", (seconds, seconds))


def test_sales_are_made_once_and_then_found(store):
    first, again = store.sales(2_000, "parquet"), store.sales(2_000, "parquet")
    assert (first.made, again.made) == (True, False)
    assert first.dataset == again.dataset


def test_sales_are_found_by_a_later_store(store, open_store):
    store.sales(2_000, "parquet")
    assert not open_store().sales(2_000, "parquet").made


def test_sales_in_a_cache_that_was_moved_or_copied_are_found_where_they_are_now(store, tmp_path):
    store.sales(2_000, "parquet")
    store.close()
    for name, carry in (("copied", shutil.copytree), ("moved", shutil.move)):
        carry(tmp_path / "cache", tmp_path / name)
        there = Store(tmp_path / name, PLENTY, lambda *_: None)
        found = there.sales(2_000, "parquet")
        there.close()
        assert not found.made
        assert Path(found.dataset.path).is_relative_to(tmp_path / name)


def test_a_record_of_sales_says_what_is_in_the_file(store):
    dataset = store.sales(2_000, "parquet").dataset
    assert (dataset.name, dataset.format) == ("sales", "parquet")
    assert (dataset.rows, dataset.products) == (2_000, builtin.PRODUCTS)
    assert dataset.arrow_bytes == sum(batch.nbytes for batch in builtin.batches(2_000))
    assert pq.read_table(dataset.path).equals(pa.Table.from_batches(builtin.batches(2_000)))


@pytest.mark.parametrize(
    "other", [(2_001, "parquet", 0), (2_000, "arrow", 0), (2_000, "parquet", 1)]
)
def test_other_rows_format_or_seed_are_other_sales(store, other):
    store.sales(2_000, "parquet", 0)
    assert store.sales(*other).made


def test_products_are_made_once_and_then_found(store):
    first, again = store.products("arrow"), store.products("arrow")
    assert (first.made, again.made) == (True, False)
    assert first.dataset.rows == builtin.PRODUCTS


def test_progress_is_told_after_every_batch(open_store):
    told = []
    open_store(progress=lambda *what: told.append(what)).make("halves", halves, 10, "parquet")
    assert told == [("halves", 5, 10), ("halves", 10, 10)]


def test_an_own_data_set_is_made_once_and_then_found(store):
    first, again = (store.make("own", numbers, 10, "arrow") for _ in range(2))
    assert (first.made, again.made) == (True, False)
    assert (first.dataset.rows, first.dataset.arrow_bytes) == (10, 80)


def test_a_name_need_not_be_a_file_name(store, root):
    dataset = store.make("../a b/c", numbers, 10, "arrow").dataset
    assert dataset.name == "../a b/c"
    assert Path(dataset.path).parent.parent == root


def test_a_changed_generator_makes_its_data_anew(store, tmp_path):
    def load(step):
        path = tmp_path / f"generator{step}.py"
        text = f"""
import pyarrow as pa
def own(rows):
    yield pa.record_batch({{"n": range(0, rows * {step}, {step})}})
"""
        path.write_text(text)
        spaces = {}
        exec(compile(text, path, "exec"), spaces)
        return spaces["own"]

    store.make("own", load(1), 10, "arrow")
    assert not store.make("own", load(1), 10, "arrow").made
    assert store.make("own", load(2), 10, "arrow").made


def test_a_changed_argument_or_closure_makes_the_data_anew(store):
    def times(step, rows):
        yield pa.record_batch({"n": pa.array(range(0, rows * step, step))})

    def closing_over(step):
        return lambda rows: times(step, rows)

    for bind in (functools.partial(functools.partial, times), closing_over):
        store.make(f"own{bind}", bind(1), 10, "arrow")
        assert not store.make(f"own{bind}", bind(1), 10, "arrow").made
        assert store.make(f"own{bind}", bind(2), 10, "arrow").made


def given(rows, value=None):
    yield pa.record_batch({"n": pa.array(range(rows))})


def plus_one():
    return lambda number: number + 1


def plus_two():
    return lambda number: number + 2


def longs(last):
    return np.append(np.zeros(100_000), last)


@pytest.mark.parametrize(
    ("value", "another"),
    [
        pytest.param(lambda: longs(1), lambda: longs(2), id="a long array"),
        pytest.param(
            lambda: pa.table({"n": longs(1)}), lambda: pa.table({"n": longs(2)}), id="a table"
        ),
        pytest.param(
            lambda: {"b", "a", "c"}, lambda: {"b", "a", "d"}, id="a set, in another order each time"
        ),
        pytest.param(
            lambda: np.random.default_rng(1), lambda: np.random.default_rng(2), id="a generator"
        ),
        pytest.param(plus_one, plus_two, id="a function"),
        pytest.param(lambda: np, lambda: pa, id="a module"),
    ],
)
def test_values_are_told_apart_by_all_of_their_contents(store, value, another):
    def making(bound):
        return functools.partial(given, value=bound)

    store.make("own", making(value()), 10, "arrow")
    assert not store.make("own", making(value()), 10, "arrow").made
    assert store.make("own", making(another()), 10, "arrow").made


def test_a_set_is_found_again_by_a_process_of_another_hash_seed():
    text = """
from functools import partial
from pytest_layers.datasets import fingerprint
print(fingerprint.of_function(partial(fingerprint.digest, {"a", "b", "c", ("d",)})))
"""
    said = {
        subprocess.check_output(
            [sys.executable, "-c", text], env=os.environ | {"PYTHONHASHSEED": str(seed)}
        )
        for seed in range(4)
    }
    assert len(said) == 1


def test_a_value_that_can_not_be_told_from_another_is_an_error(store):
    with pytest.raises(LayersError, match=r"can't tell 'value', a generator, from another one"):
        store.make("own", functools.partial(given, value=(n for n in ())), 10, "arrow")


def test_a_generator_without_source_is_an_error(store):
    with pytest.raises(LayersError, match=r"can't read the source of .* written in a file"):
        store.make("own", iter, 10, "arrow")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "gave NoneType"),
        ([1], "yielded int"),
        (pa.table({"n": [1]}), "gave Table"),
        (pa.record_batch({"n": [1]}), "gave RecordBatch"),
        ([], "yielded no rows"),
        ([pa.record_batch({"n": pa.array([], pa.int64())})], "yielded no rows"),
        (
            [pa.record_batch({"n": [1]}), pa.record_batch({"n": ["a"]})],
            r"yielded \(n: int64\), then \(n: string\)",
        ),
    ],
)
def test_a_generator_of_the_wrong_things_is_told_so(store, root, given, says):
    with pytest.raises(
        LayersError, match=rf"batches\(10\) of data set 'own' {says}; it must yield"
    ):
        store.make("own", lambda rows: given, 10, "parquet")
    assert not folders(root)


def test_a_generator_that_fails_midway_leaves_nothing(store, root):
    def failing(rows):
        yield from numbers(rows)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.make("own", failing, 10, "parquet")
    assert not list(root.rglob("*.parquet"))
    assert not folders(root)


def test_what_a_killed_process_left_is_removed(store, root):
    left = root / "half" / "gone-10-arrow-0"
    left.mkdir(parents=True)
    (left / "data.arrow").write_bytes(b"half")
    store.make("own", numbers, 10, "arrow")
    assert not left.exists()


@pytest.mark.parametrize("damage", ["{", "{}", '{"name": 1}'])
def test_a_broken_manifest_is_made_anew(store, open_store, damage):
    dataset = store.make("own", numbers, 10, "arrow").dataset
    store.close()
    Path(dataset.path).with_name("dataset.json").write_text(damage)
    assert open_store().make("own", numbers, 10, "arrow").made


def test_a_missing_file_is_made_anew(store):
    dataset = store.make("own", numbers, 10, "arrow").dataset
    Path(dataset.path).unlink()
    assert store.make("own", numbers, 10, "arrow").made


def test_the_least_recently_used_goes_first(open_store, root):
    store = open_store()
    old, older, new = (store.make(name, numbers, 100, "arrow").dataset for name in ("a", "b", "c"))
    age(old, 200), age(older, 100), age(new, 300)
    store.close()
    one = sum(file.stat().st_size for file in Path(new.path).parent.iterdir())
    open_store(limit_bytes=3 * one + 50).make("d", numbers, 100, "arrow")
    assert Path(old.path).exists()
    assert not Path(older.path).exists()
    assert len(folders(root)) == 3


def test_being_found_counts_as_use(store, open_store):
    first, second = (store.make(name, numbers, 10, "arrow").dataset for name in ("a", "b"))
    age(first, 100), age(second, 200)
    store.make("a", numbers, 10, "arrow")
    store.close()
    limit = sum(file.stat().st_size for file in Path(first.path).parent.iterdir())
    open_store(limit_bytes=2 * limit + 50).make("c", numbers, 10, "arrow")
    assert Path(first.path).exists()
    assert not Path(second.path).exists()


def test_what_was_just_made_stays_however_small_the_limit(open_store):
    assert Path(open_store(limit_bytes=0).make("a", numbers, 10, "arrow").dataset.path).exists()


def test_what_another_store_uses_stays_until_it_is_closed(open_store):
    user, maker = open_store(), open_store(limit_bytes=0)
    used = Path(user.make("a", numbers, 10, "arrow").dataset.path)
    maker.make("b", numbers, 10, "arrow")
    assert used.exists()
    user.close()
    maker.make("c", numbers, 10, "arrow")
    assert not used.exists()


IN_ANOTHER_PROCESS = """
import os, sys
from pathlib import Path

import pyarrow as pa

from pytest_layers.datasets.store import Store

root, log = Path(sys.argv[1]), Path(sys.argv[2])

def numbers(rows):
    with log.open("a") as file:
        file.write("made\\n")
    for _ in range(20):
        yield pa.record_batch({"number": pa.array(range(rows))})

store = Store(root, 2**40, lambda *_: None)
print("ready", flush=True)
input()
made = store.make("own", numbers, 1_000, "parquet")
print(made.made, made.dataset, flush=True)
os._exit(0)
"""


@pytest.fixture
def another_process(root, tmp_path):
    """Starts a process that makes a data set once it is sent a line."""
    script = tmp_path / "another.py"
    script.write_text(IN_ANOTHER_PROCESS)
    started = []

    def start():
        command = [sys.executable, str(script), str(root), str(tmp_path / "log")]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_at_once_make_it_once(tmp_path, another_process):
    processes = [another_process(), another_process()]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.stdout.readline().split(" ", 1) for process in processes]
    assert sorted(made for made, _ in told) == ["False", "True"]
    assert told[0][1] == told[1][1]
    assert (tmp_path / "log").read_text() == "made\n"


def test_what_a_dead_process_used_can_go(root, another_process, open_store):
    process = another_process()
    process.communicate("\n")
    assert len(folders(root)) == 1
    open_store(limit_bytes=0).make("b", numbers, 10, "arrow")
    assert len(folders(root)) == 1


def test_sales_that_cannot_fit_are_refused_before_they_are_made(store, root):
    with pytest.raises(LayersError, match=r"rows of sales take .* at least; .* has .* free"):
        store.sales(10**15, "parquet")
    assert not list(root.glob("half/*"))


def test_a_full_disk_is_told_with_the_room_there_is(store, root, monkeypatch):
    def full(batches, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setitem(formats.FORMATS, "arrow", formats.Format("arrow", (".arrow",), full, None))
    says = rf"could not make data set 'own' in {root} \(.* free there\): .*No space left on device"
    with pytest.raises(LayersError, match=says):
        store.make("own", numbers, 10, "arrow")


def test_a_root_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LayersError, match=r"could not make data set 'sales' in .*/file/cache"):
        Store(tmp_path / "file" / "cache", PLENTY, lambda *_: None).sales(10, "parquet")


def test_an_unknown_format_is_told(store):
    with pytest.raises(LayersError, match="unknown format 'csv'"):
        store.sales(10, "csv")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("b.parquet", "a.parquet", "c.arrow"):
        batches = builtin.batches(100)
        formats.of_suffix(Path(name)).write(batches, folder / name)
    return folder


def test_existing_files_are_counted_once(store, files):
    first, again = (store.existing([files / "a.parquet"]) for _ in range(2))
    assert (first.made, again.made) == (True, False)
    assert first.dataset == again.dataset
    assert (first.dataset.name, first.dataset.format, first.dataset.rows) == ("a", "parquet", 100)
    assert first.dataset.arrow_bytes == pytest.approx(100 * builtin.BYTES_PER_ROW, rel=0.05)


def test_a_changed_file_is_counted_again(store, files):
    store.existing([files / "a.parquet"])
    formats.named("parquet").write(builtin.batches(70), files / "a.parquet")
    assert store.existing([files / "a.parquet"]).dataset.rows == 70


def test_a_folder_means_its_files_of_one_format_in_order(store, files):
    dataset = store.existing([files], "parquet").dataset
    assert dataset.paths == (str(files / "a.parquet"), str(files / "b.parquet"))
    assert (dataset.name, dataset.rows) == ("own", 200)


def test_a_folder_of_several_formats_needs_to_be_told_which(store, files):
    with pytest.raises(LayersError, match="files of one format, got files in arrow and parquet"):
        store.existing([files])


def test_any_name_is_accepted_with_a_format(store, files):
    shutil.move(files / "a.parquet", files / "a.data")
    assert store.existing([files / "a.data"], "parquet").dataset.rows == 100


def test_in_a_folder_any_name_is_taken_with_a_format_where_none_tells_it(store, files):
    for name in ("a.parquet", "b.parquet"):
        shutil.move(files / name, files / Path(name).stem)
    (files / "c.arrow").unlink()
    assert store.existing([files], "parquet").dataset.rows == 200


def test_hidden_files_and_folders_are_not_taken_for_data(store, files):
    for name in (".hidden.parquet", "_passing.parquet"):
        (files / name).write_text("half written")
    (files / "folder.parquet").mkdir()
    assert store.existing([files], "parquet").dataset.rows == 200


@pytest.mark.parametrize("sign", "*?[")
def test_a_name_that_engines_take_for_a_pattern_is_refused(store, files, sign):
    file = files / f"a{sign}.parquet"
    shutil.move(files / "a.parquet", file)
    with pytest.raises(LayersError, match=rf"has \{sign} in its name, a pattern to engines"):
        store.existing([file])


def test_a_cache_folder_that_engines_take_for_a_pattern_is_refused(tmp_path):
    with pytest.raises(LayersError, match=r"has \[ in its name"):
        Store(tmp_path / "a[b]", PLENTY, lambda *_: None).sales(10, "parquet")


def test_existing_files_are_never_removed(open_store, files):
    store = open_store(limit_bytes=0)
    store.existing([files / "a.parquet"])
    store.close()
    store.make("own", numbers, 10, "arrow")
    assert (files / "a.parquet").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.parquet", r"none\.parquet does not exist"),
        (
            "x.csv",
            r"x\.csv is in no known format; accepted are \.parquet, \.pq \(parquet\), .*\.h5",
        ),
        ("empty", "the folder .*/empty holds no data files; accepted are"),
        ("bad.parquet", r"can't read .*/bad\.parquet as parquet: "),
        ("bad.arrow", r"can't read .*/bad\.arrow as arrow: "),
    ],
)
def test_existing_files_of_no_use_are_told(store, tmp_path, name, says):
    (tmp_path / "empty").mkdir()
    for bad in ("x.csv", "bad.parquet", "bad.arrow"):
        (tmp_path / bad).write_text("no data here")
    with pytest.raises(LayersError, match=says):
        store.existing([tmp_path / name])


def test_no_files_at_all_are_told(store):
    with pytest.raises(LayersError, match="got no files"):
        store.existing([])
