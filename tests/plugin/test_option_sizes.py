"""`--layers-sizes` and `layers_sizes` in the ini file: which sizes a test is spread over."""

import pytest

ONE = "def test_it(size): pass"


def sizes_of(layers, *args, text=ONE):
    ran = layers.run(text, "--collect-only", "-q", *args)
    return [line.partition("[")[2].removesuffix("]") for line in ran.lines if "::" in line]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ("1k", ["1k"]),
        ("100k,1M", ["100k", "1M"]),
        ("1M 100k", ["1M", "100k"]),
        ("1000000", ["1M"]),
        ("1_500", ["1500"]),
        ("2GiB", ["2GiB"]),
        ("0.5ram", ["0.5ram"]),
    ],
)
def test_sizes_are_the_ids(layers, asked, ids):
    assert sizes_of(layers, f"--layers-sizes={asked}") == ids


def test_a_million_rows_is_the_default(layers):
    assert sizes_of(layers) == ["1M"]


def test_given_twice_is_both(layers):
    assert sizes_of(layers, "--layers-sizes=1k", "--layers-sizes=2k") == ["1k", "2k"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nlayers_sizes = 1k 2k\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nlayers_sizes = "1k,2k"\n'),
        ("pyproject.toml", '[tool.pytest.ini_options]\nlayers_sizes = ["1k", "2k"]\n'),
        pytest.param(
            "pyproject.toml",
            '[tool.pytest]\nlayers_sizes = ["1k", "2k"]\n',
            marks=pytest.mark.skipif(pytest.version_tuple < (9,), reason="new in pytest 9"),
        ),
    ],
)
def test_ini_file_sets_sizes(layers, name, text):
    layers.write(name, text)
    assert sizes_of(layers) == ["1k", "2k"]


def test_command_line_wins_over_ini(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_sizes = 1k 2k\n")
    assert sizes_of(layers, "--layers-sizes=3k") == ["3k"]


def test_one_function_at_all_sizes_stays_together(layers):
    text = "def test_a(size): pass\ndef test_b(size): pass\n"
    ran = layers.run(text, "--collect-only", "-q", "--layers-sizes=1k,2k")
    assert [line.partition("::")[2] for line in ran.lines if "::" in line] == [
        "test_a[1k]",
        "test_a[2k]",
        "test_b[1k]",
        "test_b[2k]",
    ]
