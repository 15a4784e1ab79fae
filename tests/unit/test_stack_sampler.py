"""When the supervisor asks which line runs, and what it makes of answers: scripted sampler, scripted answers."""

import dataclasses
import os
import time
from itertools import pairwise

import pytest

from pytest_layers.isolate.stack_responder import QUESTION
from pytest_layers.isolate.stack_sampler import ASK_SECONDS, StackSampler
from pytest_layers.isolate.wire import encode
from pytest_layers.measure.cpu import Demand
from pytest_layers.measure.findings import Findings

MIB = 2**20
NOTHING_FOUND = Findings(**dict.fromkeys((one.name for one in dataclasses.fields(Findings)), 0))
BUSY = {"file": "/team/shop/reports.py", "line": 41, "function": "best", "call": ""}
OTHER = BUSY | {"line": 7}


class Sampler:
    """What `StackSampler` asks of one, set by the test."""

    seconds = 0.0
    base_bytes = footprint_bytes = 100 * MIB
    demand = Demand(0.0, 0.0, 0.0, 0.0)

    def at(self, seconds, mib=100, cores=1.0):
        self.seconds, self.footprint_bytes = seconds, mib * MIB
        self.demand = Demand(seconds, seconds * cores, 0.0, 0.0)


class Script:
    """The case's side: its two pipes, in this process."""

    def __init__(self):
        self.sampler = Sampler()
        self.stack_sampler = StackSampler(os.getpid(), self.sampler)
        self.questions, ask = os.pipe()
        answers, self.tell = os.pipe()
        self.descriptors = (self.questions, ask, answers, self.tell)
        os.set_blocking(self.questions, False)
        self.stack_sampler.begin({"ask": ask, "answers": answers, "root": "/team"})

    def look(self, *reading, frame=None, **others):
        """One look after a reading, and an answer to what it asked, if there is one; gives the number of questions."""
        self.sampler.at(*reading, **others)
        self.stack_sampler.look()
        count = self.asked()
        if count and frame is not None:
            self.answer(frame)
        return count

    def asked(self):
        try:
            return os.read(self.questions, 100).count(QUESTION)
        except BlockingIOError:
            return 0

    def answer(self, frame):
        os.write(self.tell, encode("answer", frame=frame, at=time.perf_counter()))

    def end(self, seconds, top_mib):
        found = dataclasses.replace(
            NOTHING_FOUND,
            wall_seconds=seconds,
            base_bytes=100 * MIB,
            lower_bytes=top_mib * MIB,
        )
        return {line.when: line for line in self.stack_sampler.end(found).where}


@pytest.fixture
def script():
    one = Script()
    yield one
    one.stack_sampler.close()
    for descriptor in one.descriptors:
        os.close(descriptor)


def test_it_asks_when_time_is_up(script):
    counts = [script.look(ASK_SECONDS * at, frame=BUSY) for at in (0.9, 1.1, 1.5, 2.7)]
    assert counts == [0, 1, 0, 1]


def test_it_asks_as_often_as_it_is_to_but_not_in_step(script):
    step = ASK_SECONDS / 100
    asked = [at for at in range(10_000) if script.look(at * step, frame=BUSY)]
    pauses = {after - before for before, after in pairwise(asked)}
    assert len(asked) == pytest.approx(100, rel=0.1)
    assert min(pauses) < 60
    assert max(pauses) > 140


def test_it_asks_at_once_when_memory_grows_past_what_it_was(script):
    assert script.look(ASK_SECONDS, 200, frame=BUSY) == 1
    assert script.look(ASK_SECONDS * 1.1, 205, frame=BUSY) == 0
    assert script.look(ASK_SECONDS * 1.2, 215, frame=BUSY) == 1
    assert script.look(ASK_SECONDS * 1.3, 150, frame=BUSY) == 0


def test_it_asks_no_second_question_before_the_first_is_answered(script):
    assert script.look(1, 200) == 1
    assert script.look(2, 400) == 0
    script.answer(BUSY)
    assert script.look(3, 400) == 1


def test_what_runs_until_it_answers_made_the_footprint_what_it_was_meanwhile(script):
    script.look(1, 150)
    script.look(2, 500)
    script.answer(BUSY)
    script.look(3, 150, frame=OTHER)
    assert script.end(4, 500)["peak"].line == BUSY["line"]


def test_a_footprint_read_when_the_answer_was_there_is_not_taken_for_its(script):
    script.look(1, 150, frame=BUSY)
    script.look(2, 500, frame=OTHER)
    assert script.end(3, 500)["peak"].line == OTHER["line"]


def test_an_answer_may_come_in_pieces(script):
    script.look(1, 500)
    line = encode("answer", frame=BUSY, at=time.perf_counter())
    os.write(script.tell, line[:9])
    script.look(1.01, 500)
    os.write(script.tell, line[9:])
    script.look(1.02, 500)
    assert script.end(2, 500)["peak"].line == BUSY["line"]


def test_both_lines_are_named_from_the_root(script):
    for at in range(1, 6):
        script.look(at, 100 + at, frame=BUSY)
    found = script.end(6, 105)
    assert {line.file for line in found.values()} == {"shop/reports.py"}
    assert found["one_core"].seconds == pytest.approx(4, abs=0.5)


def test_code_without_a_line_of_the_team_has_no_name(script):
    for at in range(1, 6):
        if script.look(at, 100 + at):
            script.answer(None)
    assert script.end(6, 105) == {}


def test_an_answer_just_before_the_end_counts(script):
    script.look(1, 500, frame=BUSY)
    assert script.end(2, 500)["peak"].stack_samples == 1


def test_a_process_that_is_gone_is_asked_no_more_and_keeps_what_it_answered(script):
    script.look(1, 500, frame=BUSY)
    os.close(script.questions)
    script.sampler.at(2, 500)
    script.stack_sampler.look()
    script.questions = os.dup(script.tell)
    script.descriptors = (script.questions, *script.descriptors[1:])
    script.sampler.at(3, 500)
    script.stack_sampler.look()
    assert script.end(4, 500)["peak"].line == BUSY["line"]


def test_where_nobody_answers_nothing_is_named():
    sampler = Sampler()
    stack_sampler = StackSampler(os.getpid(), sampler)
    stack_sampler.begin(None)
    sampler.at(1, 500)
    stack_sampler.look()
    assert stack_sampler.end(NOTHING_FOUND).where == ()


def test_a_process_that_does_not_let_its_descriptors_be_opened_is_not_asked():
    sampler = Sampler()
    stack_sampler = StackSampler(os.getpid(), sampler)
    stack_sampler.begin({"ask": 999_998, "answers": 999_999, "root": "/team"})
    sampler.at(1, 500)
    stack_sampler.look()
    assert stack_sampler.end(NOTHING_FOUND).where == ()
