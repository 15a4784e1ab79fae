"""`--layers-report`: the run as a JSON document."""

import json

import pytest

TEXT = """
    import pytest

    @pytest.mark.memory_ceiling("1GiB")
    def test_it(): pass
"""


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_document_holds_machine_engines_and_cases(layers):
    layers.engines()
    ran = layers.run(
        """
        import pytest

        @pytest.mark.memory_ceiling("100x + 1GiB")
        def test_it(engine, sales): pass
        """,
        "--layers=fake",
        "--layers-sizes=2k",
    )
    document = ran.document
    assert document["schema_version"] == 1
    assert document["machine"]["cores"] == document["cores_given"]
    assert list(document["engines"]) == ["fake"]
    (case,) = document["cases"]
    assert case["case"] == {
        "nodeid": "test_it.py::test_it[fake-2k]",
        "engine": "fake",
        "layer": "memory",
        "size": "2k",
    }
    assert (case["outcome"], case["rows"]) == ("passed", 2000)
    assert case["data_bytes"] == pytest.approx(2000 * 86, rel=0.1)
    assert case["verdicts"][0]["limit_value"] == 100 * case["data_bytes"] + 2**30


def test_several_files_are_all_written_and_their_folders_made(layers):
    ran = layers.run(TEXT, "--layers-report=one.json", "--layers-report=made/two.json")
    paths = [layers.path / "one.json", layers.path / "made" / "two.json"]
    assert [read(path) for path in paths] == [ran.document] * 2
    assert [line for line in ran.lines if line.startswith("written to")] == [
        f"written to {path}" for path in (layers.report, *paths)
    ]


def test_tests_that_are_only_listed_leave_the_last_run_s_document_alone(layers):
    path = layers.write("last.json", "as it was")
    assert layers.run(TEXT, "--collect-only", f"--layers-report={path}").status == 0
    assert path.read_text() == "as it was"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nlayers_report = a.json b/c.json\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nlayers_report = ["a.json", "b/c.json"]\n'),
        pytest.param(
            "pyproject.toml",
            '[tool.pytest]\nlayers_report = ["a.json", "b/c.json"]\n',
            marks=pytest.mark.skipif(pytest.version_tuple < (9,), reason="new in pytest 9"),
        ),
    ],
)
def test_ini_file_names_files_beside_it(layers, name, text):
    layers.write(name, text)
    layers.write("tests/test_it.py", "def test_it(): pass")
    layers.bare("-p", "pytest_layers.plugin", cwd=layers.path / "tests", autoload=False)
    assert (layers.path / "a.json").exists()
    assert (layers.path / "b" / "c.json").exists()


def test_command_line_wins_over_ini(layers):
    layers.write("pytest.ini", "[pytest]\nlayers_report = a.json\n")
    ran = layers.run("def test_it(): pass")
    assert ran.document["cases"] == []
    assert not (layers.path / "a.json").exists()


def test_a_file_that_cannot_be_written_is_said_and_fails_the_run(layers):
    ran = layers.run("def test_it(): pass", "--layers-report=/proc/none.json")
    assert (
        "ERROR: /proc/none.json: the report can't be written (No such file or directory)"
        in ran.lines
    )
    assert ran.outcomes == {"passed": 1}
    assert ran.status == pytest.ExitCode.TESTS_FAILED


def test_it_is_written_after_an_interrupt_too(layers):
    ran = layers.run(
        TEXT
        + """
    def test_stop():
        raise KeyboardInterrupt
    """,
        process=True,
    )
    assert ran.status == pytest.ExitCode.INTERRUPTED
    assert ran.case("test_it").outcome == "passed"


def test_cases_come_in_the_order_of_the_run(layers):
    layers.write("test_b.py", TEXT)
    layers.write("test_a.py", TEXT)
    ran = layers.run(None, "test_b.py", "test_a.py")
    assert [result.case.nodeid for result in ran.run.cases] == [
        "test_b.py::test_it",
        "test_a.py::test_it",
    ]
