"""How often a case is started, by what its processes told."""

from types import SimpleNamespace

import pytest

from pytest_layers import runner, state
from pytest_layers.attempt import Attempt
from pytest_layers.errors import LayersError

PLAN = SimpleNamespace(case=SimpleNamespace(nodeid="test_it.py::test_it"))


@pytest.fixture
def attempt(monkeypatch):
    """The attempt that counts, after those that asked for another one for these reasons."""

    def last_of(*reasons):
        told = iter([*reasons, ""])
        processes = SimpleNamespace(attempt=lambda *_, **__: Attempt(again=next(told)))
        monkeypatch.setattr(runner, "Processes", lambda *_: processes)
        settings = SimpleNamespace(memory_bytes=lambda there: there)
        config = SimpleNamespace(stash={state.SETTINGS: settings})
        return runner.Runner(config, None)._attempt(None, PLAN)

    return last_of


def test_a_case_may_have_as_many_data_sets_made_as_it_uses(attempt):
    assert attempt(*(f"data set {number} was made" for number in range(40))).again == ""


def test_a_case_that_has_one_data_set_made_again_and_again_is_given_up(attempt):
    with pytest.raises(LayersError, match="restarted 6 times: data set orders was made"):
        attempt(*["data set orders was made"] * 40)


def test_a_case_that_has_another_data_set_made_at_every_start_is_given_up(attempt):
    with pytest.raises(
        LayersError, match="restarted 50 times: data set 49 was made; its name, its rows"
    ):
        attempt(*(f"data set {number} was made" for number in range(200)))
