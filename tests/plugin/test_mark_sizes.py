"""`sizes`: a test's own data sizes."""


def collected(layers, text, *args):
    ran = layers.run(text, "--collect-only", "-q", *args)
    return [line.partition("::")[2] for line in ran.lines if "::" in line]


def test_it_takes_the_place_of_the_sizes_asked_for(layers):
    text = """
        import pytest

        @pytest.mark.sizes("1k", 2000, "1MiB")
        def test_own(size): pass

        def test_other(size): pass
    """
    assert collected(layers, text, "--layers-sizes=5k") == [
        "test_own[1k]",
        "test_own[2k]",
        "test_own[1MiB]",
        "test_other[5k]",
    ]


def test_the_nearest_mark_wins(layers):
    text = """
        import pytest

        pytestmark = pytest.mark.sizes("1k")

        def test_of_module(size): pass

        @pytest.mark.sizes("2k")
        def test_of_function(size): pass

        @pytest.mark.sizes("3k")
        class TestThem:
            def test_of_class(self, size): pass
    """
    assert collected(layers, text) == [
        "test_of_module[1k]",
        "test_of_function[2k]",
        "TestThem::test_of_class[3k]",
    ]


def test_a_test_with_the_mark_is_a_case_without_limits(layers):
    ran = layers.run(
        """
        import pytest

        @pytest.mark.sizes("1500")
        def test_it(size):
            assert size == 1500
        """
    )
    assert ran.case("test_it[1500]").outcome == "passed"
    assert ran.case("test_it[1500]").case.size == "1500"
    assert ran.case("test_it[1500]").verdicts == ()
