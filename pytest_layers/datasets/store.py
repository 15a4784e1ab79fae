"""The cache of data sets: made once, found again, removed when they take too much room.

One folder a data set, holding the data file and a manifest. A folder appears whole or not at all:
it is filled elsewhere, then renamed. Two kinds of locks keep processes apart:

- a lock file a data set: held while looking for it, making it or removing it;
- a shared lock on the manifest (on Windows, its being open): held by every process that was given the
  data set, until its store is closed or the process ends in whatever way. What is in use is never removed.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from filelock import FileLock, Timeout

from pytest_layers import records
from pytest_layers.datasets import HALF, formats, sales
from pytest_layers.datasets.fingerprint import digest, of_function
from pytest_layers.errors import LayersError
from pytest_layers.records import Dataset
from pytest_layers.units import format_bytes

if sys.platform != "win32":
    import fcntl
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Batches = Callable[[int], Iterable[pa.RecordBatch]]
    Progress = Callable[[str, int, int], None]

_MANIFEST = "dataset.json"


@dataclass(frozen=True)
class Made:
    """A data set, and whether it was made just now instead of found in the cache."""

    dataset: Dataset
    made: bool


class Store:
    """A cache of data sets in `root` that keeps to `limit_bytes` on disk.

    After something was made, the least recently used data sets that no living process uses are
    removed until the rest fits. What is in use counts, but stays, so the limit can be exceeded.
    `progress(name, rows done, rows in all)` is called after every batch.

    Every method that gives a data set raises `LayersError` where it can't be made or read: the disk
    is full, the folder can't be written, a file is missing or in a format that is not known, or a
    user's function yields something else than it should.
    """

    def __init__(self, root: Path, limit_bytes: int, progress: Progress) -> None:
        self._root = root.absolute()
        self._limit_bytes = limit_bytes
        self._progress = progress
        self._in_use: dict[Path, int] = {}

    def close(self) -> None:
        """Release the data sets that this store gave: they may be removed from now on."""
        while self._in_use:
            os.close(self._in_use.popitem()[1])

    def sales(self, rows: int, format: str, seed: int = 0) -> Made:
        """The first `rows` rows of the built-in `sales`."""
        with _as_layers_error("make data set 'sales'", self._root):
            _check_no_pattern(self._root)
            self._check_room(rows)
        wanted = Dataset("sales", format, (), rows, 0, products=sales.distinct_products(rows))
        return self._get(wanted, functools.partial(sales.batches, seed=seed), _built_in(seed))

    def _check_room(self, rows: int) -> None:
        """Refuse sales that can't fit before their first row is made; Parquet takes the least room."""
        self._root.mkdir(parents=True, exist_ok=True)
        free, least = shutil.disk_usage(self._root).free, rows * sales.PARQUET_BYTES_PER_ROW
        if least > free:
            raise LayersError(
                f"{rows:,} rows of sales take {format_bytes(least)} at least;"
                f" {self._root} has {format_bytes(free)} free"
            )

    def products(self, format: str, seed: int = 0) -> Made:
        """The built-in `products`: one row for each product that `sales` may name."""
        wanted = Dataset("products", format, (), sales.PRODUCTS, 0, products=sales.PRODUCTS)
        return self._get(wanted, lambda _: sales.product_batches(seed=seed), _built_in(seed))

    def make(self, name: str, batches: Batches, rows: int, format: str) -> Made:
        """What `batches(rows)` yields: record batches of one schema.

        It is made again when the source of `batches` changes, or a value that it closes over or was
        bound to; functions that it calls are not looked at. These values must be picklable.
        """
        wanted = Dataset(name, format, (), rows, 0)
        return self._get(wanted, functools.partial(_checked, name, batches), of_function(batches))

    def existing(
        self,
        paths: Sequence[str | os.PathLike[str]],
        format: str | None = None,
    ) -> Made:
        """Files of the user's own, never copied or removed; a folder stands for its files.

        Without `format` the suffixes of the files tell it. Rows and Arrow bytes are counted once, and
        again when the size or the modification time of a file changes.
        """
        files, known = _resolved([Path(path).absolute() for path in paths], format)
        stamps = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        note = self._root / "existing" / f"{digest(known.name, stamps)}.json"
        if (found := _remembered(note)) is not None:
            return Made(found, made=False)
        dataset = _counted(Path(paths[0]).stem, files, known)
        with _as_layers_error(f"remember the size of {files[0]}", self._root):
            _write_note(note, dataset)
        return Made(dataset, made=True)

    def _get(self, wanted: Dataset, batches: Batches, fingerprint: str) -> Made:
        """Find or make the data set that is wanted; it is in use from now on."""
        known = formats.named(wanted.format)
        label = re.sub(r"[^\w.-]", "_", f"{wanted.name}-{wanted.rows}-{wanted.format}")
        found_by = digest(wanted.name, fingerprint, inspect.getsource(formats))
        folder = self._root / f"{label}-{found_by}"
        with _as_layers_error(f"make data set {wanted.name!r}", self._root):
            with self._locked(folder):
                found = _remembered(folder / _MANIFEST)
                dataset = found or self._make(wanted, batches, known, folder)
                self._use(folder)
            if found is None:
                self.sweep()
                self._evict()
        return Made(dataset, made=found is None)

    def _make(
        self, wanted: Dataset, batches: Batches, known: formats.Format, folder: Path
    ) -> Dataset:
        """Make the data set in `folder`; nothing is left if that fails."""
        half = self._half(folder)
        for rest in (half, folder):
            shutil.rmtree(rest, ignore_errors=True)
        try:
            half.mkdir(parents=True)
            data, extent = f"data.{known.name}", formats.Extent()
            known.write(self._watched(wanted, extent, batches(wanted.rows)), half / data)
            made = replace(wanted, paths=(data,), **vars(extent))
            _write_note(half / _MANIFEST, made)
            half.rename(folder)
        finally:
            shutil.rmtree(half, ignore_errors=True)
        return _placed(made, folder)

    def _watched(
        self, wanted: Dataset, extent: formats.Extent, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        for batch in extent.counting(batches):
            yield batch
            self._progress(wanted.name, extent.rows, wanted.rows)

    def _use(self, folder: Path) -> None:
        if (before := self._in_use.pop(folder, None)) is not None:
            os.close(before)
        manifest = self._in_use[folder] = os.open(folder / _MANIFEST, os.O_RDONLY)
        if sys.platform != "win32":
            fcntl.flock(manifest, fcntl.LOCK_SH)

    def _locked(self, folder: Path, timeout: float = -1) -> FileLock:
        """The lock of one data set, for a `with` block; waits for ever unless there is a `timeout`."""
        locks = self._root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{folder.name}.lock", timeout=timeout)

    def _half(self, folder: Path) -> Path:
        """Where `folder` is filled, and where it goes to be removed."""
        return self._root / HALF / folder.name

    def sweep(self) -> None:
        """Remove what killed processes left half done."""
        for half in (self._root / HALF).iterdir():
            with suppress(Timeout), self._locked(half, timeout=0):
                shutil.rmtree(half, ignore_errors=True)

    def _evict(self) -> None:
        """Remove the least recently used data sets until the rest fits."""
        kept = self._kept()
        total = sum(size for _, size, _ in kept)
        for _, size, folder in kept:
            if total > self._limit_bytes and self._remove(folder):
                total -= size

    def _kept(self) -> list[tuple[int, int, Path]]:
        """When each data set was last used, its bytes on disk and its folder; oldest first."""
        kept = []
        for manifest in self._root.glob(f"*/{_MANIFEST}"):
            with suppress(FileNotFoundError):
                size = sum(file.stat().st_size for file in manifest.parent.iterdir())
                kept.append((manifest.stat().st_mtime_ns, size, manifest.parent))
        return sorted(kept)

    def _remove(self, folder: Path) -> bool:
        """Remove a data set unless it is in use; gives whether it is gone."""
        with suppress(Timeout, FileNotFoundError), self._locked(folder, timeout=0):
            if not _is_in_use(folder / _MANIFEST):
                shutil.rmtree(folder.rename(self._half(folder)))
                return True
        return False


def _is_in_use(manifest: Path) -> bool:
    """Whether a living process uses the data set. Windows has no shared locks, but no open file can be moved there."""
    if sys.platform == "win32":
        with suppress(PermissionError):
            manifest.rename(manifest)
            return False
    else:
        with manifest.open() as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    return True


@contextmanager
def _as_layers_error(doing: str, root: Path) -> Iterator[None]:
    """Turn what file systems and Arrow raise into a `LayersError` that says what was being done, and where."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise LayersError(f"could not {doing} in {root}{_free(root)}: {error}") from error


def _free(root: Path) -> str:
    try:
        return f" ({format_bytes(shutil.disk_usage(root).free)} free there)"
    except OSError:
        return ""


def _remembered(note: Path) -> Dataset | None:
    """The data set of a manifest, which is marked as used now; None if it is damaged or its files are gone."""
    try:
        dataset = _placed(records.from_json(Dataset, json.loads(note.read_text())), note.parent)
        os.utime(note)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    return dataset if all(Path(path).exists() for path in dataset.paths) else None


def _placed(dataset: Dataset, folder: Path) -> Dataset:
    """The same with whole paths: a manifest in `folder` names its files as seen from there, for caches are moved."""
    return replace(dataset, paths=tuple(str(folder / path) for path in dataset.paths))


def _write_note(note: Path, dataset: Dataset) -> None:
    """Write a manifest, whole or not at all, also while another process writes the same."""
    note.parent.mkdir(parents=True, exist_ok=True)
    passing = note.with_suffix(f".{os.getpid()}")
    passing.write_text(json.dumps(records.to_json(dataset)))
    passing.replace(note)


def _checked(name: str, batches: Batches, rows: int) -> Iterator[pa.RecordBatch]:
    """The batches that a user's function yields, each of them checked."""
    given = batches(rows)
    if not isinstance(given, Iterable):
        raise _wrong(name, rows, f"gave {type(given).__name__}")
    schema, seen = None, 0
    for batch in given:
        if not isinstance(batch, pa.RecordBatch):
            raise _wrong(name, rows, f"yielded {type(batch).__name__}")
        if schema is not None and batch.schema != schema:
            raise _wrong(name, rows, f"yielded {_fields(schema)}, then {_fields(batch.schema)}")
        schema, seen = batch.schema, seen + batch.num_rows
        yield batch
    if not seen:
        raise _wrong(name, rows, "yielded no rows")


def _wrong(name: str, rows: int, what: str) -> LayersError:
    return LayersError(
        f"batches({rows}) of data set {name!r} {what}; "
        "it must yield pyarrow.RecordBatch objects of one schema, with at least one row"
    )


def _fields(schema: pa.Schema) -> str:
    return f"({', '.join(f'{field.name}: {field.type}' for field in schema)})"


def _built_in(seed: int) -> str:
    return digest(inspect.getsource(sales), seed)


def _resolved(paths: Sequence[Path], format_name: str | None) -> tuple[list[Path], formats.Format]:
    """The files that the paths stand for, and their one format."""
    wanted = formats.named(format_name) if format_name else None
    files = [file for path in paths for file in _files(path, wanted)]
    for file in files:
        _check_no_pattern(file)
    found = {file: wanted or formats.of_suffix(file) for file in files}
    for file, known in found.items():
        if known is None:
            raise LayersError(f"{file} is in no known format; {_accepted()}")
    kinds = {known.name: known for known in found.values() if known is not None}
    if len(kinds) != 1:
        what = f"files in {' and '.join(sorted(kinds))}" if kinds else "no files"
        raise LayersError(f"a data set is files of one format, got {what}; {_accepted()}")
    return files, kinds.popitem()[1]


def _check_no_pattern(path: Path) -> None:
    """Refuse paths that some engines take for patterns: they would read other files, or none."""
    found = sorted(set("*?[") & set(str(path)))
    if found:
        raise LayersError(
            f"{path} has {' and '.join(found)} in its name, a pattern to engines; rename it"
        )


def _files(path: Path, wanted: formats.Format | None) -> list[Path]:
    if not path.exists():
        raise LayersError(f"{path} does not exist")
    if not path.is_dir():
        return [path]
    accepted = [wanted] if wanted else [*formats.FORMATS.values()]
    # Engines pass over names that begin with these: files that are half written, or not data.
    names = sorted(name for name in path.iterdir() if name.is_file() and name.name[0] not in "._")
    alike = [name for name in names if formats.of_suffix(name) in accepted]
    files = alike or (names if wanted else [])
    if not files:
        raise LayersError(f"the folder {path} holds no data files; {_accepted()}")
    return files


def _accepted() -> str:
    known = (f"{', '.join(one.suffixes)} ({name})" for name, one in formats.FORMATS.items())
    return f"accepted are {', '.join(known)}, or any name where the format is given"


def _counted(name: str, files: Sequence[Path], known: formats.Format) -> Dataset:
    rows = arrow_bytes = 0
    for file in files:
        try:
            extent = known.count(file)
        except (OSError, pa.ArrowException) as error:
            raise LayersError(f"can't read {file} as {known.name}: {error}") from error
        rows, arrow_bytes = rows + extent.rows, arrow_bytes + extent.arrow_bytes
    return Dataset(name, known.name, tuple(map(str, files)), rows, arrow_bytes)
