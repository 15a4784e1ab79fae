"""Fingerprints by which data are found in the cache: of the function that makes them, and of values it was given."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import pickle
from typing import TYPE_CHECKING

from pytest_layers.errors import LayersError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def digest(*parts: object) -> str:
    """A short hash of parts, each of which has a `repr` that shows all of its content."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def of_function(batches: Callable[..., object]) -> str:
    """A digest of the source of a function, and of the values that it closes over or was bound to.

    Raises:
        LayersError: its source is in no file, or a value can't be pickled.
    """
    if isinstance(batches, functools.partial):
        bound = {str(place): value for place, value in enumerate(batches.args)} | batches.keywords
        return digest(of_function(batches.func), _contents(bound))
    function = inspect.unwrap(batches)
    try:
        values = inspect.getclosurevars(function).nonlocals.items()
        return digest(
            inspect.getsource(function),
            _contents({name: value for name, value in values if not callable(value)}),
        )
    except (OSError, TypeError) as error:
        raise LayersError(
            f"can't read the source of {batches!r}, by which its data are found again; "
            "give a function that is written in a file"
        ) from error


def _contents(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """A digest of each value, by name; not of its `repr`, which may be shortened, or show an address."""
    return sorted((name, _digest_of(name, value)) for name, value in values.items())


def _digest_of(name: str, value: object) -> str:
    content = io.BytesIO()
    pickler = _Contents(content, protocol=5)
    pickler.fast = True  # what is equal looks alike, whether it is one object or several
    try:
        pickler.dump(value)
    except Exception as error:  # whatever its own code raises
        raise LayersError(
            f"can't tell {name!r}, a {type(value).__name__}, from another one, by which data are found again"
            f" ({error}); give values that can be pickled"
        ) from error
    return hashlib.sha256(content.getbuffer()).hexdigest()


class _Contents(pickle.Pickler):
    """Pickles to the same bytes in every process, also what has another order or address there."""

    def persistent_id(self, given: object) -> object:
        """Give sets in order, functions by their source and modules by name; leave all else to pickle."""
        if isinstance(given, set | frozenset):
            return "set", sorted(_digest_of("a set's element", one) for one in given)
        if inspect.isfunction(given):
            return "function", of_function(given)
        return ("module", given.__name__) if inspect.ismodule(given) else None
