"""Cases among tests that run in place: fixtures of files and folders end when they would without the plugin."""

import os

import pytest

PLAIN = """
import pathlib
import pytest

@pytest.fixture(scope="module", autouse=True)
def module():
    yield
    print("HEARD AT THE END")
    with pathlib.Path("ends").open("a") as file:
        file.write("end ")
    assert {fine}

def test_plain(): pass
"""
CASE = """
import pytest

@pytest.mark.memory_ceiling("1GiB")
def test_case(): pass
"""
NEXT = """
import pathlib

def test_next():
    assert pathlib.Path("ends").read_text().split() == ["end"] * {ends}
"""


def test_a_plain_test_may_follow_in_another_folder(layers):
    layers.write("a/test_1.py", PLAIN.format(fine=True))
    layers.write("a/test_2.py", CASE)
    layers.write("b/test_3.py", NEXT.format(ends=1))
    assert layers.run().outcomes == {"passed": 3}


def test_a_fixture_of_the_file_ends_after_its_last_case(layers):
    layers.write("a/test_1.py", PLAIN.format(fine=True) + CASE)
    layers.write("b/test_3.py", NEXT.format(ends=2))  # in the case's own process too
    ran = layers.run()
    assert ran.outcomes == {"passed": 3}
    assert "HEARD AT THE END" not in ran.out


@pytest.mark.parametrize("arguments", [["-s"], ["-p", "no:capture"]])
def test_it_ends_where_nothing_is_captured_too(layers, arguments):
    layers.write("a/test_1.py", PLAIN.format(fine=True) + CASE)
    layers.write("b/test_3.py", NEXT.format(ends=2))
    assert layers.run(None, *arguments).outcomes == {"passed": 3}


@pytest.mark.parametrize("last", [True, False])
def test_what_fails_then_is_an_error_of_the_case(layers, last):
    own = f"\nimport os\nOWN = os.getpid() == {os.getpid()}\n"
    layers.write("a/test_1.py", PLAIN.format(fine="not OWN") + CASE + own)
    if not last:
        layers.write("b/test_3.py", NEXT.format(ends=2))
    ran = layers.run()
    assert ran.outcomes == {"passed": 2 if last else 3, "errors": 1}
    assert "ERROR at teardown of test_case" in ran.out
    assert ran.section("Captured stdout teardown")[0] == "HEARD AT THE END"
