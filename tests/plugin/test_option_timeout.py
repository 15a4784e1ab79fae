"""`--layers-timeout`: time for one case."""

TEXT = """
    import time
    import pytest

    @pytest.mark.memory_ceiling("1GiB")
    def test_hangs():
        print("hanging on")
        time.sleep(60)

    @pytest.mark.memory_ceiling("1GiB")
    def test_after(): pass

    def test_plain(): pass
"""


def test_a_case_that_takes_too_long_fails_and_the_rest_runs(layers):
    ran = layers.run(TEXT, "--layers-timeout=1500ms")
    assert ran.outcomes == {"failed": 1, "passed": 2}
    assert ran.case("test_hangs").outcome == "failed"
    assert ran.case("test_hangs").reason.startswith(
        "stopped at the timeout of 1.50 s (--layers-timeout) during call, 1."
    )
    assert "in test_hangs" in ran.out, "where it hung"


def test_ini_file_sets_it(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_timeout = 1s\n")
    ran = layers.run(TEXT, "-k", "test_hangs")
    assert ran.case("test_hangs").reason.startswith("stopped at the timeout of 1.00 s")


def test_command_line_wins_over_ini(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_timeout = 1ms\n")
    ran = layers.run(TEXT, "-k", "test_after", "--layers-timeout=1min")
    assert ran.outcomes["passed"] == 1
