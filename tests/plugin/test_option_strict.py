"""`--layers-strict`: what could not be had or told is a failure."""

TEXT = """
    import pytest

    def test_engine(engine): pass

    @pytest.mark.memory_ceiling("1GiB")
    def test_unjudged(measured): pass
"""
NAMES = "--layers=engine,-third-one,-polars,-polars-streaming,-vaex,-duckdb"


def test_without_it_a_missing_engine_is_skipped_and_the_unjudged_inconclusive(layers):
    layers.engines()
    ran = layers.run(TEXT, NAMES)
    assert ran.outcomes == {"skipped": 1, "inconclusive": 1}
    assert ran.status == 0


def test_with_it_both_fail(layers):
    layers.engines()
    ran = layers.run(TEXT, NAMES, "--layers-strict")
    assert ran.case("test_engine[absent]").outcome == "error"
    assert ran.case("test_engine[absent]").reason == (
        'absent is not installed (no_such_module); pip install "pytest-layers[absent]"'
        " (a failure for --layers-strict)"
    )
    assert ran.case("test_unjudged").outcome == "failed"
    assert ran.case("test_unjudged").reason == (
        "inconclusive, a failure for --layers-strict:"
        " memory_ceiling 1GiB not judged: `measured` was never entered"
    )
    assert ran.outcomes == {"errors": 1, "failed": 1}


def test_ini_file_sets_it(layers):
    layers.engines()
    layers.write("pytest.ini", "[pytest]\nlayers_strict = true\n")
    ran = layers.run("def test_engine(engine): pass", NAMES)
    assert ran.outcomes == {"errors": 1}


def test_tests_that_skip_themselves_stay_skipped(layers):
    ran = layers.run(
        """
        import pytest

        @pytest.mark.memory_ceiling("1GiB")
        @pytest.mark.skip(reason="not today")
        def test_it(): pass
        """,
        "--layers-strict",
    )
    assert ran.outcomes == {"skipped": 1}
