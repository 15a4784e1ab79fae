"""What the process of a case is told before it starts."""

import json
import sys
from pathlib import Path

from pytest_layers.isolate import launch


def test_what_imports_pass_over_is_not_on_the_path_of_a_case(monkeypatch, tmp_path):
    there = [*sys.path]
    monkeypatch.setattr(sys, "path", [Path("here"), *there, b"there"])
    *_, job = launch.child_command("test_it.py::test_it", [], program="pytest", temp_dir=tmp_path)
    assert json.loads(Path(job).read_text())["sys_path"] == there
