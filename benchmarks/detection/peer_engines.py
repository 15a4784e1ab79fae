"""A plugin that gives the corpus its engines and data without pytest-layers: `-p peer_engines`.

They run in pytest's own process, which is all that the other tools measure, so engines that start processes are left
out. Data sets are those of pytest-layers, made in a process of their own.
"""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest

from pytest_layers.datasets.store import Store
from pytest_layers.engines import BUILTIN
from pytest_layers.engines.catalog import Catalog
from pytest_layers.fixtures import WARM_UP_ROWS
from pytest_layers.measure.machine import memory_limit_bytes
from pytest_layers.records import Budget
from pytest_layers.settings import default_cache_dir
from pytest_layers.units import parse_amount, parse_size

CATALOG = Catalog(BUILTIN)
CORES = 2
CACHE_BYTES = 20 << 30
ENGINE, SIZE = "_peer_engine", "_peer_size"
MAKE = "import sys, peer_engines; peer_engines.opened().{name}({arguments})"


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    """Engines and sizes in the order, and with the ids, of pytest-layers."""
    if ENGINE in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("layers")
        wanted = CATALOG.expand(mark.args, source="mark.layers")
        wanted &= CATALOG.expand(["local"], source="here")
        metafunc.parametrize(
            ENGINE, [name for name in CATALOG.names if name in wanted], indirect=True
        )
    if SIZE in metafunc.fixturenames:
        sizes = metafunc.definition.get_closest_marker("sizes").args
        metafunc.parametrize(SIZE, sizes, indirect=True)


def is_here(item):
    """Whether it is without an engine, or has one that runs here."""
    return item.get_closest_marker("layers") is None or parameter(item, ENGINE) in CATALOG.names


def ceiling_bytes(item):
    """What its ceiling comes to for its engine and its data."""
    mark = item.get_closest_marker("memory_ceiling")
    engine = parameter(item, ENGINE)
    asked = parse_amount(mark.kwargs.get((engine or "").replace("-", "_"), mark.args[0]))
    if not asked.needs_data:
        return asked.fixed_bytes
    kind = CATALOG.get(engine).format
    data = [stored("sales", rows_of(parameter(item, SIZE)), kind)]
    data += [stored("products", kind)] if "products" in item.fixturenames else []
    total = sum(one.arrow_bytes for one in data)
    return asked.resolve(data_bytes=total, rows=data[0].rows, ram_bytes=0)


def parameter(item, name):
    return item.callspec.params.get(name) if hasattr(item, "callspec") else None


def rows_of(size):
    return parse_size(size).rows


def opened():
    """The data sets that pytest-layers keeps, too."""

    def progress(name, done, total):
        """Nobody looks on."""

    return Store(default_cache_dir(), CACHE_BYTES, progress)


@functools.cache
def stored(name, *arguments):
    """A built-in data set, which a process of its own makes where it is not there."""
    code = MAKE.format(name=name, arguments=", ".join(map(repr, arguments)))
    subprocess.run([sys.executable, "-c", code], check=True)
    return getattr(opened(), name)(*arguments).dataset


@pytest.fixture
def _peer_engine(request):
    return CATALOG.get(request.param)


@pytest.fixture
def _peer_size(request):
    return rows_of(request.param)


@pytest.fixture
def engine(_peer_engine, tmp_path, monkeypatch):
    """Started and warmed up, in this process."""
    one = _peer_engine()
    one.cores = _peer_engine.usable_cores(CORES)
    budget = Budget(CORES, memory_limit_bytes(), str(tmp_path))
    for name, value in _peer_engine.environment(budget).items():
        monkeypatch.setenv(name, value)
    one.start(budget)
    one.collect(one.scan(stored("sales", WARM_UP_ROWS, one.format)))
    yield one
    one.stop()


@pytest.fixture
def sales(_peer_engine, _peer_size):
    return stored("sales", _peer_size, _peer_engine.format)


@pytest.fixture
def products(_peer_engine):
    return stored("products", _peer_engine.format)
