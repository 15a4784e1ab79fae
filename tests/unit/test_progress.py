"""What the terminal shows while a case can't start, on a terminal and elsewhere."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_layers.report.progress import QUIET_SECONDS, TerminalProgress

FOLDER = Path("/data")
WAITS = "waiting for the case of another session that keeps its data in /data"


class Terminal:
    def __init__(self, *, isatty):
        self.isatty = isatty
        self.said = []

    def rewrite(self, line, *, erase):
        assert erase
        self.said.append(line)

    def write_line(self, line):
        self.said.append(line)


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def shown(clock):
    """A progress, and what its terminal shows."""

    def open_one(*, isatty):
        terminal = Terminal(isatty=isatty)
        return TerminalProgress(terminal, lambda: clock.now), terminal.said

    return open_one


def test_what_is_made_at_once_is_not_worth_a_line(shown):
    progress, said = shown(isatty=True)
    progress("sales", 10, 100)
    progress("sales", 100, 100)
    assert said == []


def test_on_a_terminal_a_line_is_rewritten_and_erased(shown, clock):
    progress, said = shown(isatty=True)
    progress("sales", 10, 100)
    clock.now += QUIET_SECONDS
    progress("sales", 50, 100)
    progress("sales", 100, 100)
    assert [line.partition(":")[2].split("%")[0].strip() for line in said] == ["50", "100", ""]


def test_elsewhere_each_data_set_has_one_line(shown, clock):
    progress, said = shown(isatty=False)
    for name in ("sales", "products"):
        progress(name, 10, 100)
        clock.now += QUIET_SECONDS
        progress(name, 50, 100)
        progress(name, 100, 100)
    assert [line.strip().partition(":")[0] for line in said] == ["making sales", "making products"]


def test_on_a_terminal_each_wait_is_shown_while_it_lasts(shown):
    progress, said = shown(isatty=True)
    for _ in range(2):
        with progress.waiting(FOLDER):
            assert said[-1] == WAITS
    assert said == [WAITS, "", WAITS, ""]


def test_elsewhere_the_first_wait_has_a_line(shown, clock):
    progress, said = shown(isatty=False)
    progress("sales", 10, 100)
    clock.now += QUIET_SECONDS
    progress("sales", 50, 100)  # and was cut off there
    for _ in range(2):
        with progress.waiting(FOLDER):
            pass
    assert [line.strip() for line in said][1:] == [WAITS]


def test_without_a_terminal_nothing_is_said(clock):
    progress = TerminalProgress(None, lambda: clock.now)
    progress("sales", 10, 100)
    clock.now += QUIET_SECONDS
    progress("sales", 50, 100)
    with progress.waiting(FOLDER):
        pass
