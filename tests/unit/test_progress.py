"""What the terminal shows while a case can't start, on a terminal and elsewhere."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_layers.report.progress import QUIET_SECONDS, TerminalProgress

FOLDER = Path("/data") / "as long as a folder of somebody's cache may be"
WAITS = f"waiting for the case of another session that keeps its data in {FOLDER}"
WIDTH = 80
TEST = "test_it.py::test_it "
rewritten = pytest.mark.skipif(
    not hasattr(pytest.TerminalReporter, "write_raw"), reason="no line is rewritten below pytest 9"
)


class Written(io.StringIO):
    def __init__(self, *, tty):
        super().__init__()
        self.isatty = lambda: tty

    def rows(self):
        """What can be read there."""
        rows, at = [""], 0
        for character in self.getvalue():
            if character == "\n" or (at == WIDTH and character != "\r"):
                rows, at = [*rows, ""], 0
            if character == "\r":
                at = 0
            elif character != "\n":
                rows[-1] = rows[-1][:at].ljust(at) + character + rows[-1][at + 1 :]
                at += 1
        return "\n".join(row.rstrip() for row in rows).strip("\n").split("\n")


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def started(pytester, monkeypatch, clock):
    """A progress, the reporter of a session that has started a test, and what can be read."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    def start(*arguments, tty):
        config = pytester.parseconfig("--color=no", *arguments)
        written = Written(tty=tty)
        reporter = pytest.TerminalReporter(config, written)
        config.pluginmanager.register(reporter, "terminalreporter")
        reporter.pytest_runtest_logstart("test_it.py::test_it", ("test_it.py", 0, "test_it"))
        return TerminalProgress(config, lambda: clock.now), reporter, written.rows

    return start


def make(progress, clock, name="sales", done=100):
    progress(name, 10, 100)
    clock.now += QUIET_SECONDS
    progress(name, 50, 100)
    progress(name, done, 100)


def finish(reporter):
    """The test has passed."""
    if reporter.showlongtestinfo:
        reporter.write_ensure_prefix(TEST, "PASSED")
    else:
        reporter.write(".")


def test_what_is_made_at_once_is_not_worth_a_line(started):
    progress, _, rows = started(tty=True)
    progress("sales", 10, 100)
    progress("sales", 100, 100)
    assert rows() == ["test_it.py"]


@rewritten
def test_on_a_terminal_a_line_is_rewritten(started, clock):
    progress, _, rows = started(tty=True)
    make(progress, clock, done=70)
    assert rows() == ["making sales: 70% (70 of 100 rows)"]


@rewritten
@pytest.mark.parametrize(
    ("arguments", "row"), [([], "test_it.py ."), (["-v"], f"{TEST}PASSED"), (["-q"], ".")]
)
def test_on_a_terminal_nothing_is_left_of_it(started, clock, arguments, row):
    progress, reporter, rows = started(*arguments, tty=True)
    make(progress, clock)
    with progress.waiting(FOLDER):
        pass
    finish(reporter)
    assert rows() == [row]
    assert reporter.config.get_terminal_writer().width_of_current_line == len(row)


@rewritten
@pytest.mark.parametrize(
    ("arguments", "then"), [([], ["test_it.py .", "test_it.py ."]), (["-q"], [".", "."])]
)
def test_tests_before_it_can_still_be_read(started, clock, arguments, then):
    progress, reporter, rows = started(*arguments, tty=True)
    finish(reporter)
    make(progress, clock)
    finish(reporter)
    assert rows() == then


@rewritten
def test_a_name_of_more_than_a_line_can_still_be_read(started, clock):
    progress, reporter, rows = started("-v", tty=True)
    name = "test_it.py::" + "long_" * 20
    reporter.write_ensure_prefix(name)
    make(progress, clock)
    reporter.write_ensure_prefix(name, " PASSED")
    assert "".join(rows()[-2:]) == f"{name} PASSED"


@rewritten
def test_what_was_cut_off_is_not_left(started, clock):
    progress, reporter, rows = started(tty=True)
    make(progress, clock, done=70)
    progress.end()
    finish(reporter)
    assert rows() == ["test_it.py ."]


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        ([], "test_it.py", "test_it.py ."),
        (["-v"], TEST.strip(), f"{TEST}PASSED"),
    ],
)
def test_elsewhere_each_data_set_has_one_line(started, clock, arguments, first, last):
    progress, reporter, rows = started(*arguments, tty=False)
    for name in ("sales", "products"):
        make(progress, clock, name)
    finish(reporter)
    made = [f"making {name}: 50% (50 of 100 rows)" for name in ("sales", "products")]
    assert rows() == [first, made[0], first, made[1], last]


@rewritten
def test_on_a_terminal_each_wait_is_shown_while_it_lasts_as_far_as_there_is_room(started):
    progress, _, rows = started(tty=True)
    for _ in range(2):
        with progress.waiting(FOLDER):
            assert rows() == [WAITS[: WIDTH - 1].rstrip()]
        assert rows() == ["test_it.py"]


def test_elsewhere_the_first_wait_has_a_line(started, clock):
    progress, _, rows = started(tty=False)
    make(progress, clock, done=70)  # and was cut off there
    for _ in range(2):
        with progress.waiting(FOLDER):
            pass
    assert sum(row.startswith("waiting for") for row in rows()) == 1


def test_pytest_8_has_one_line_on_a_terminal_too(started, clock, monkeypatch):
    monkeypatch.delattr(pytest.TerminalReporter, "write_raw", raising=False)
    progress, reporter, rows = started(tty=True)
    make(progress, clock)
    for _ in range(2):
        with progress.waiting(FOLDER):
            pass
    finish(reporter)
    waits = [WAITS[at : at + WIDTH].rstrip() for at in range(0, len(WAITS), WIDTH)]
    made = "making sales: 50% (50 of 100 rows)"
    assert rows() == ["test_it.py", made, "test_it.py", *waits, "test_it.py ."]


def test_without_a_terminal_nothing_is_said(pytester, clock, capfd):
    progress = TerminalProgress(pytester.parseconfig(), lambda: clock.now)
    make(progress, clock, done=70)
    with progress.waiting(FOLDER):
        pass
    assert capfd.readouterr() == ("", "")
