import sys

import pytest

from pytest_layers.engines import catalog, pytest_layers_engines
from pytest_layers.engines.base import Engine
from pytest_layers.errors import EngineNotRunnable, LayersError
from pytest_layers.records import Budget, Dataset

MAJOR, MINOR = sys.version_info[:2]
PYTHON = f"{MAJOR}.{MINOR}"


class Here(Engine):
    name, layer = "here", "engine"
    modules, distribution = ("pytest",), "pytest"
    install = 'pip install "pytest-layers[here]"'


class Swift(Here):
    name, layer = "swift-here", "classic"


class Absent(Here):
    name, layer = "absent", "memory"
    modules, distribution = ("no_such_module", "pytest"), "no-such-distribution"


class Old(Here):
    name = "old"
    python_below = (MAJOR, MINOR)


class Cluster(Here):
    name, layer = "far-away", "cluster"
    starts_processes = True


ALL = (Here, Absent, Old, Cluster, Swift)


def catalog_of(*engines):
    return catalog.build([("guests", list(engines))])


def selected(*names):
    return [choice.engine.name for choice in catalog_of(*ALL).select(names, source="--layers")]


def test_built_in_engines_are_complete():
    built_in = catalog.build([("layers", pytest_layers_engines())])
    assert built_in.names == (
        "pandas",
        "pandas-arrow",
        "arrow",
        "polars",
        "polars-streaming",
        "vaex",
        "duckdb",
        "dask",
        "modin-ray",
        "modin-dask",
        "ray",
        "spark",
    )


def test_order_is_that_of_layers_then_of_registration():
    assert catalog_of(*ALL).names == ("swift-here", "absent", "here", "old", "far-away")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["all"], ["swift-here", "absent", "here", "old", "far-away"]),
        (["installed"], ["swift-here", "here", "far-away"]),
        (["local"], ["swift-here", "absent", "here", "old"]),
        ([], ["swift-here", "absent", "here", "old"]),
        (["-engine"], ["swift-here", "absent"]),
        (["-here"], ["swift-here", "absent", "old"]),
        (["engine", "classic"], ["swift-here", "here", "old"]),
        (["all", "-memory", "-old"], ["swift-here", "here", "far-away"]),
        (["-memory", "far-away"], ["far-away"]),
        (["here", "swift-here"], ["swift-here", "here"]),
    ],
)
def test_select(names, expected):
    assert selected(*names) == expected


def test_expand_starts_from_all():
    names = catalog_of(*ALL).expand(["-here", "-memory"], source="mark.layers")
    assert names == {"swift-here", "old", "far-away"}


def test_choice_knows_how_it_was_asked_for():
    here, old = catalog_of(Here, Old).select(["engine", "here"], source="--layers")
    assert (here.named, here.obstacle) == (True, None)
    assert (old.named, old.obstacle) == (False, f"old needs Python below {PYTHON}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "absent",
            '--layers: absent is not installed (no_such_module); pip install "pytest-layers[here]"',
        ),
        ("old", f"--layers: old needs Python below {PYTHON}; run it with Python below {PYTHON}"),
    ],
)
def test_an_engine_asked_for_by_name_must_run(name, message):
    with pytest.raises(EngineNotRunnable) as error:
        selected("all", name)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["swift"], "--layers: unknown layer or engine 'swift'; did you mean 'swift-here'?"),
        (["all", "-clutser"], "--layers: unknown layer or engine 'clutser'; did you mean 'clust"),
        (["here", "-engine"], "--layers: no engine is left of here, -engine"),
        (["parallel"], "--layers: no engine is left of parallel"),
    ],
)
def test_names_that_select_nothing(names, message):
    with pytest.raises(LayersError) as error:
        selected(*names)
    assert str(error.value).startswith(message)


def test_get():
    assert catalog_of(*ALL).get("here") is Here
    with pytest.raises(LayersError, match="unknown engine 'her'; did you mean 'here'"):
        catalog_of(*ALL).get("her")


def test_listing():
    here, old = catalog_of(Here, Old).listing()
    assert (here.name, here.layer, here.obstacle) == ("here", "engine", None)
    assert here.version == pytest.__version__
    assert old.obstacle == f"old needs Python below {PYTHON}"
    assert old.install.startswith("run it with Python")
    assert catalog_of(Absent).listing()[0].version is None


def test_skip_reason_says_what_mends_it():
    assert catalog.skip_reason(Here) is None
    assert catalog.skip_reason(Absent) == (
        'absent is not installed (no_such_module); pip install "pytest-layers[here]"'
    )


class Nameless(Engine):
    layer = "engine"


class Misplaced(Here):
    layer = "engines"


class Loud(Here):
    name = "Loud"


class Taken(Here):
    name = "installed"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (3, "3; expected Engine classes"),
        (None, "None; expected Engine classes"),
        ([Here, int], "<class 'int'>; expected Engine classes"),
        ([Nameless], "Nameless, which has no name, modules, distribution, install"),
        ([Misplaced], "'here'; unknown layer 'engines'; did you mean 'engine'?"),
        ([Loud], "'Loud'; a name is lower case, its words joined by '-'"),
        ([Taken], "'installed', which --layers takes for something else"),
        ([Here], "'here', an engine that plugin 'layers' has"),
    ],
)
def test_a_faulty_plugin_is_named(given, fault):
    with pytest.raises(LayersError) as error:
        catalog.build([("layers", [Here]), ("layers-daft", given)])
    prefix = "pytest_layers_engines in plugin 'layers-daft' returned "
    assert str(error.value).startswith(prefix + fault)


def test_every_engine_is_told_the_same_number_of_cores():
    """As threads of its process, or as processes of one thread."""
    budget = Budget(cores=3, memory_bytes=2**30, temp_dir="somewhere")
    for engine in pytest_layers_engines():
        threads = "1" if engine.starts_processes else "3"
        assert engine.environment(budget)["OMP_NUM_THREADS"] == threads, engine.name


def test_a_format_without_reader_is_refused():
    dataset = Dataset("sales", "hdf5", ("sales.hdf5",), rows=1, arrow_bytes=1)
    with pytest.raises(LayersError) as error:
        Here().open_with(dataset, parquet=list, arrow=list)
    assert str(error.value) == "here can't read 'sales', which is hdf5; it reads parquet, arrow"


def test_the_reader_of_the_format_gets_the_paths():
    dataset = Dataset("sales", "arrow", ("a.arrow", "b.arrow"), rows=1, arrow_bytes=1)
    assert Here().open_with(dataset, parquet=len, arrow=list) == ["a.arrow", "b.arrow"]
