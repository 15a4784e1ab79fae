"""Parts of a test that report by themselves: the case is judged as a whole."""

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(pytest, "Subtests"), reason="this pytest has no subtests of its own"
)

HEAD = """
    import os
    import time
    import unittest

    import pytest
    from pytest import mark

    CASE = mark.memory_ceiling("1GiB")
    BROKEN = mark.memory_ceiling("8MiB")

    def hold():
        return bytearray(b"x") * (64 * 2**20)
"""


def test_a_failed_subtest_fails_its_case_and_is_run_again_by_what_failed_last(layers):
    text = (
        HEAD
        + """
    @CASE
    def test_fails(subtests):
        with subtests.test("first"): assert 0, "not so"
        with subtests.test("second"): pass

    class TestOld(unittest.TestCase):
        @CASE
        def test_old(self):
            with self.subTest("first"): self.fail("not so")

    @CASE
    def test_passes(subtests):
        with subtests.test("first"): pass
    """
    )
    ran = layers.run(text)
    assert ran.case_outcomes == {
        "test_fails": "failed",
        "TestOld::test_old": "failed",
        "test_passes": "passed",
    }
    assert ran.case("test_fails").reason.startswith("AssertionError: not so")
    assert "contains 1 failed subtest" in ran.lines
    again = layers.run(None, "--lf", "--collect-only", "-q")
    assert [line for line in again.lines if "::" in line] == ["test_it.py::test_fails"]


def test_a_skipped_subtest_hides_no_verdict(layers):
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_passes(subtests):
        with subtests.test("first"): pytest.skip("not this one")
        with subtests.test("second"): pass

    @BROKEN
    def test_broken(subtests):
        with subtests.test("first"): pytest.skip("not this one")
        with subtests.test("second"): hold()
    """
    )
    assert ran.case_outcomes == {"test_passes": "passed", "test_broken": "failed"}
    assert {row[0]: row[-1] for row in ran.table[1:3]} == ran.case_outcomes


def test_a_crash_after_a_subtest_is_one_of_the_test(layers):
    ran = layers.run(
        HEAD
        + """
    @BROKEN
    def test_crash(subtests):
        with subtests.test("first"): pass
        with subtests.test("second"):
            held = hold()
            os.abort()

    @BROKEN
    @mark.xfail(reason="too large")
    def test_runs_away(subtests):
        with subtests.test("first"): pass
        held = []
        while True:
            held.append(hold())
            time.sleep(0.02)
    """
    )
    assert ran.case_outcomes == {"test_crash": "failed", "test_runs_away": "xfailed"}
    assert ran.outcomes == {"failed": 1, "xfailed": 1}
    assert "ended with SIGABRT during call" in ran.case("test_crash").reason
    assert ran.verdict("test_crash").outcome == "failed"


def test_in_place_a_case_is_judged_when_all_its_subtests_are_over(layers):
    ran = layers.run(
        HEAD
        + """
    @CASE
    def test_fails(subtests):
        with subtests.test("first"): assert 0
        with subtests.test("second"): pass

    @BROKEN
    def test_broken(subtests):
        with subtests.test("first"): pytest.skip("not this one")
        with subtests.test("second"): hold()

    @BROKEN
    def test_narrowed(subtests, measured):
        with subtests.test("first"): held = hold()
        with subtests.test("second"), measured: pass
    """,
        "--layers-isolation=none",
    )
    assert ran.case_outcomes == {
        "test_fails": "failed",
        "test_broken": "failed",
        "test_narrowed": "passed",
    }
    assert ran.case("test_fails").reason == "contains 1 failed subtest"
    assert ran.verdict("test_broken").outcome == "failed"
