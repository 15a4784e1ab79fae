"""`--layers-cores`: what tests and engines are given."""

import os

import pytest

from pytest_layers.measure.machine import available_cores

TEXT = """
    import os
    import pytest

    @pytest.mark.memory_ceiling("1GiB")
    def test_affinity():
        print("CORES", len(os.sched_getaffinity(0)))

    def test_engine(engine):
        print("BUDGET", engine.budget.cores, engine.cores, os.environ["OMP_NUM_THREADS"])
"""
several = pytest.mark.skipif(available_cores() < 2, reason="there is one core only")


def said(ran):
    """What the tests printed that passed, by the first word."""
    words = [line.split() for line in ran.lines]
    return {first: rest for first, *rest in filter(None, words) if first in {"CORES", "BUDGET"}}


@several
def test_fewer_cores_hold_for_the_process_and_the_engine(layers):
    layers.engines()
    ran = layers.run(TEXT, "--layers-cores=1", "--layers=fake", "-rP")
    assert said(ran) == {"CORES": ["1"], "BUDGET": ["1", "1", "1"]}
    assert ran.run.cores_given == 1
    assert ran.case("test_affinity").measurement.cores_given == 1


def test_all_cores_are_the_default(layers):
    layers.engines()
    there = available_cores()
    ran = layers.run(TEXT, "--layers=other", "-rP")
    assert said(ran)["CORES"] == [str(len(os.sched_getaffinity(0)))]
    assert ran.run.cores_given == there
    assert ran.case("test_affinity").measurement.cores_given == there
    assert ran.case("test_engine[other]").measurement.cores_given == 1  # its max_cores


@several
def test_ini_file_sets_cores(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_cores = 1\n")
    assert layers.run("def test_it(): pass").run.cores_given == 1


def test_command_line_wins_over_ini(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_cores = 100000\n")
    assert layers.run("def test_it(): pass", "--layers-cores=1").run.cores_given == 1
