"""`--layers` and `layers` in the ini file: which engines a test is spread over."""

import pytest

ONE = "def test_it(engine): pass"


def collected(layers, *args, text=ONE):
    """The ids of the tests that would run, without the file."""
    ran = layers.run(text, "--collect-only", "-q", *args)
    return [line.partition("::")[2] for line in ran.lines if "::" in line]


def engines_of(layers, *args):
    return [name.removeprefix("test_it[").removesuffix("]") for name in collected(layers, *args)]


LOCAL = "pandas pandas-arrow other arrow fake polars polars-streaming vaex duckdb third-one absent"


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("local", LOCAL),
        ("all", f"{LOCAL} dask modin-ray modin-dask ray spark far"),
        ("fake", "fake"),
        ("memory", "arrow fake"),
        ("fake,far", "fake far"),
        ("far,fake", "fake far"),
        ("fake far", "fake far"),
        ("memory,other,-arrow", "other fake"),
        ("-engine,-pandas,-pandas-arrow", "other arrow fake"),
    ],
)
def test_names_choose_engines_in_the_order_of_the_layers(layers, asked, chosen):
    layers.engines()
    assert engines_of(layers, f"--layers={asked}") == chosen.split()


def test_local_is_the_default(layers):
    layers.engines()
    assert engines_of(layers) == LOCAL.split()


def test_installed_leaves_out_what_cannot_run_here(layers):
    layers.engines()
    chosen = engines_of(layers, "--layers=installed")
    assert "far" in chosen
    assert "absent" not in chosen


def test_given_twice_is_both(layers):
    layers.engines()
    assert engines_of(layers, "--layers=fake", "--layers=other") == ["other", "fake"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nlayers = fake other\n"),
        ("pytest.ini", "[pytest]\nlayers = fake,other\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nlayers = "fake other"\n'),
        ("pyproject.toml", '[tool.pytest.ini_options]\nlayers = ["fake", "other"]\n'),
        pytest.param(
            "pyproject.toml",
            '[tool.pytest]\nlayers = ["fake", "other"]\n',
            marks=pytest.mark.skipif(pytest.version_tuple < (9,), reason="new in pytest 9"),
        ),
    ],
)
def test_ini_file_chooses(layers, name, text):
    layers.engines()
    layers.write(name, text)
    assert engines_of(layers) == ["other", "fake"]


def test_command_line_wins_over_ini(layers):
    layers.engines()
    layers.write("pytest.ini", "[pytest]\nlayers = fake other\n")
    assert engines_of(layers, "--layers=far") == ["far"]


def test_engine_of_a_chosen_layer_that_is_missing_is_a_skip_with_what_mends_it(layers):
    layers.engines()
    ran = layers.run(
        ONE, "--layers=engine,-third-one,-polars,-polars-streaming,-vaex,-duckdb", "-rs"
    )
    reason = 'absent is not installed (no_such_module); pip install "pytest-layers[absent]"'
    assert ran.outcomes == {"skipped": 1}
    assert ran.case("test_it[absent]").outcome == "skipped"
    assert ran.case("test_it[absent]").reason == reason


def test_engine_that_is_named_and_missing_is_an_error(layers):
    layers.engines()
    ran = layers.run(ONE, "--layers=absent")
    assert ran.status == pytest.ExitCode.USAGE_ERROR


def test_tests_without_engine_are_not_spread(layers):
    layers.engines()
    text = "def test_a(): pass\ndef test_b(size): pass\n"
    assert collected(layers, "--layers=fake,other", text=text) == ["test_a", "test_b[1M]"]


def test_engine_comes_before_size_in_ids_and_other_parameters_last(layers):
    layers.engines()
    text = """
        import pytest

        @pytest.mark.parametrize("region", ["eu", "us"])
        def test_it(size, region, engine): pass
    """
    assert collected(layers, "--layers=fake", "--layers-sizes=1k", text=text) == [
        "test_it[fake-1k-eu]",
        "test_it[fake-1k-us]",
    ]
