"""The plugin's exceptions, and the wording of "unknown X, did you mean Y"; `plugin` turns them into pytest's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LayersError(Exception):
    """Something the user can correct: the text says what was given and what is accepted."""


class EngineNotRunnable(LayersError):  # noqa: N818  (it is a state of the machine, not a fault)
    """An engine that was asked for by its own name can't run here."""


class ChildFailed(LayersError):  # noqa: N818
    """The process of a case could not be started, or its supervisor ended early."""


def guess(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'pandas'?` for a word close to known ones, else an empty text.

    Names that contain the word count too: `difflib` alone finds only one of two for `modin`.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=2, cutoff=0.6)
    found = dict.fromkeys([*close, *(name for name in names if word and word in name)])
    if not found:
        return ""
    return f"; did you mean {' or '.join(repr(name) for name in found)}?"


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """`unknown engine 'panda'; did you mean 'pandas'? Known: arrow, duckdb, ...`"""
    names = sorted(known)
    hint = guess(word, names)
    return f"unknown {what} {word!r}{hint or '.'} Known: {', '.join(names)}"
