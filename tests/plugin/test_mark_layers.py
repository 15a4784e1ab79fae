"""`layers`: engines that a test is for, of those chosen."""

import os

import pytest


def collected(layers, text, *args):
    ran = layers.run(text, "--collect-only", "-q", *args)
    return [line.partition("::")[2] for line in ran.lines if "::" in line]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ('"fake"', ["fake"]),
        ('"memory", "other"', ["other", "fake"]),
        ('"-fake"', ["other", "third-one"]),
        ('"engine"', ["third-one"]),
        ('"all", "-memory"', ["other", "third-one"]),
    ],
)
def test_it_cuts_what_was_chosen(layers, names, ids):
    layers.engines()
    text = f"import pytest\n@pytest.mark.layers({names})\ndef test_it(engine): pass"
    got = collected(layers, text, "--layers=other,fake,third-one")
    assert got == [f"test_it[{name}]" for name in ids]


def test_the_nearest_mark_wins(layers):
    layers.engines()
    text = """
        import pytest

        pytestmark = pytest.mark.layers("fake")

        def test_of_module(engine): pass

        @pytest.mark.layers("other")
        def test_of_function(engine): pass

        @pytest.mark.layers("third-one")
        class TestThem:
            def test_of_class(self, engine): pass
    """
    assert collected(layers, text, "--layers=other,fake,third-one") == [
        "test_of_module[fake]",
        "test_of_function[other]",
        "TestThem::test_of_class[third-one]",
    ]


def test_a_module_may_be_marked_though_some_of_its_tests_ask_for_no_engine(layers):
    layers.engines()
    text = """
        import pytest

        pytestmark = [pytest.mark.layers("fake"), pytest.mark.sizes("1k")]

        def test_with(engine, size): pass

        def test_without(): pass
    """
    assert collected(layers, text) == ["test_with[fake-1k]", "test_without"]


def test_beside_a_case_a_test_that_only_inherits_it_runs_in_place(layers):
    ran = layers.run(
        """
        import os
        import pytest

        pytestmark = [pytest.mark.layers("fake"), pytest.mark.sizes("1k")]

        def test_it():
            print("PID", os.getpid())
    """,
        "-rP",
    )
    assert f"PID {os.getpid()}" in ran.lines
    assert ran.cases == {}


@pytest.mark.parametrize(
    ("args", "setting"),
    [
        (["--layers=fake"], "--layers is fake"),
        (["--override-ini=layers=fake"], "layers in the ini file is fake"),
        ([], "the default of --layers is local"),
    ],
)
def test_nothing_left_is_a_skip_that_says_so(layers, args, setting):
    layers.engines()
    ran = layers.run(
        """
        import pytest

        @pytest.mark.layers("far")
        def test_it(engine): pass
        """,
        *args,
    )
    assert ran.outcomes == {"skipped": 1}
    assert ran.case("test_it[none]").reason == f"for far only, and {setting}"
