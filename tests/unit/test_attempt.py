"""In which phase a case's process died, by the reports that came of it."""

from types import SimpleNamespace

import pytest

from pytest_layers.attempt import Attempt, phase_of_death


def reports(text):
    """Of `setup=passed call=rerun`."""
    pairs = (word.split("=") for word in text.split())
    return [SimpleNamespace(when=when, outcome=outcome) for when, outcome in pairs]


WELL = "setup=passed call=passed teardown=passed"


@pytest.mark.parametrize(
    ("told", "phase"),
    [
        ("", "setup"),
        ("setup=passed", "call"),
        ("setup=passed call=failed", "teardown"),
        ("setup=skipped", "teardown"),
        (WELL, None),
        ("setup=passed call=skipped teardown=failed", None),
        ("setup=failed teardown=passed", None),
        ("setup=passed teardown=passed", "call"),
        ("setup=rerun", "setup"),
        ("setup=passed call=rerun", "call"),
        ("setup=passed call=rerun teardown=passed", "call"),
        ("setup=passed call=passed teardown=rerun", "teardown"),
        (f"setup=passed call=rerun {WELL}", None),
        ("setup=passed call=rerun setup=failed teardown=passed", None),
    ],
)
def test_the_first_phase_without_an_outcome(told, phase):
    assert phase_of_death(Attempt(reports(told))) == phase


def test_a_window_that_was_opened_is_of_the_call_though_its_reports_are_held_back():
    assert phase_of_death(Attempt(findings=object())) == "call"
    assert phase_of_death(Attempt(reports("setup=rerun teardown=passed"), object())) == "call"
