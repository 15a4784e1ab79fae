"""Writes and reads the JSON report of a run. Its keys are the field names of the records."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from pytest_layers import records
from pytest_layers.errors import LayersError

if TYPE_CHECKING:
    from pathlib import Path

# No raw line break is inside a JSON string: one that follows a bracket is the layout's own.
_LEAF = re.compile(r"[{\[]\n[^{}\[\]]*[}\]]")
_CORES = ("cores_used", "cores_wanted_lower", "cores_wanted_upper")
_LAYOUT = re.compile(r"\n\s*")


def dumps(run: records.Run) -> str:
    """The document as text. Floats have six digits; a record without records inside is one line.

    Each measurement also has `cores_used`, `cores_wanted_lower` and `cores_wanted_upper`, for readers; `loads`
    ignores them.
    """
    data = records.to_json(run)
    for result, case in zip(run.cases, data["cases"], strict=True):
        if result.measurement is not None:
            case["measurement"] |= {name: getattr(result.measurement, name) for name in _CORES}
    text = json.dumps(_rounded(data), indent=1, ensure_ascii=False)
    return _LEAF.sub(_on_one_line, text) + "\n"


def loads(text: str, source: str | Path) -> records.Run:
    """The run in `text`; `source` is how errors call it.

    Raises:
        LayersError: It is not JSON, not a document of ours, incomplete, or of a newer schema.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise LayersError(f"{source}: not JSON ({error})") from error
    _check_version(data, source)
    try:
        return records.from_json(records.Run, data)
    except (TypeError, AttributeError) as error:
        raise LayersError(f"{source}: an incomplete pytest-layers report ({error})") from error


def write(run: records.Run, path: Path) -> None:
    """Write the document to `path`, whole or not at all; its folder is made.

    Raises:
        LayersError: It can't be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lone surrogate (from bytes that are no UTF-8) becomes a JSON escape.
        temporary.write_text(dumps(run), encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        why = error.strerror if isinstance(error, OSError) else error
        raise LayersError(f"{path}: the report can't be written ({why})") from error


def read(path: Path) -> records.Run:
    """The run in the file at `path`.

    Raises:
        LayersError: It can't be read, or for what `loads` raises.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LayersError(f"{path}: the report can't be read ({error})") from error
    return loads(text, path)


def _check_version(data: Any, source: str | Path) -> None:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int):
        raise LayersError(f"{source}: not a pytest-layers report (it has no schema_version)")
    if version > records.SCHEMA_VERSION:
        raise LayersError(
            f"{source}: schema version {version}, this pytest-layers reads up to"
            f" {records.SCHEMA_VERSION}; update pytest-layers"
        )


def _rounded(data: Any) -> Any:
    if isinstance(data, float):
        return round(data, 6)
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    return [_rounded(value) for value in data] if isinstance(data, list) else data


def _on_one_line(leaf: re.Match[str]) -> str:
    return _LAYOUT.sub(" ", leaf[0])
