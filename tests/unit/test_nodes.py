"""What is sent to the nodes of a user's own cluster, run here."""

import os
import socket
import subprocess
import sys

import pytest

from pytest_layers.engines import _nodes, _on_node
from pytest_layers.errors import LayersError

MIB = 2**20


def twice(function):
    """Run it as an engine would whose tasks come to the same node twice."""
    return [function(), function()]


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return _nodes.Nodes(twice, "self")


@pytest.mark.skipif(sys.platform != "linux", reason="probes read /proc")
class TestProbes:
    def test_what_a_process_needs_within_the_window_is_found_once(self, nodes):
        nodes.begin()
        block = b"x" * (50 * MIB)
        (found,) = nodes.end()
        assert found["name"] == f"{socket.gethostname()}:{os.getpid()}"
        assert found["cores"] == len(os.sched_getaffinity(0))
        findings = found["findings"]
        assert findings["upper_bytes"] - findings["base_bytes"] >= len(block)

    def test_nothing_is_left_in_the_temporary_folder(self, nodes, tmp_path):
        nodes.begin()
        nodes.end()
        assert list(tmp_path.iterdir()) == []

    def test_a_node_that_does_not_answer_has_no_findings(self, nodes, monkeypatch):
        nodes.begin()
        answered = nodes._on_each_node
        monkeypatch.setattr(nodes, "_on_each_node", lambda _: [])
        (lost,) = nodes.end()
        assert lost == {"name": f"{socket.gethostname()}:{os.getpid()}", "findings": None}
        monkeypatch.setattr(nodes, "_on_each_node", answered)
        assert nodes.end() != []  # and its probe has ended

    def test_a_program_further_up_is_the_root(self):
        own = _on_node._status(os.getpid(), "Name:")
        assert _on_node.root_pid(own) == os.getpid()
        assert _on_node.root_pid("parent") == os.getppid()


def test_what_is_sent_to_a_node_needs_nothing_of_this_package():
    cloudpickle = pytest.importorskip("cloudpickle")
    sent = cloudpickle.dumps(_nodes.on_node(_on_node.node_name, "parent"))
    code = f"import pickle; print(pickle.loads({sent!r})())"
    command = [sys.executable, "-c", f"import sys; sys.modules['pytest_layers'] = None; {code}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"{socket.gethostname()}:{os.getpid()}"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "127.0.0.1:{}"])
def test_an_address_where_somebody_listens_is_reached(address):
    with _nodes.open_lifeline("127.0.0.1") as line:
        port = line.getsockname()[1]
        assert _nodes.reach("--option", address.format(port)) == "127.0.0.1"
    with pytest.raises(LayersError, match=f"--option={address.format(port)}: nobody answers there"):
        _nodes.reach("--option", address.format(port))


def test_an_error_without_a_text_is_told_by_its_name():
    told = _nodes.no_probe("--option", "host:1", TimeoutError())
    assert str(told) == "--option=host:1: no probe there: TimeoutError"
