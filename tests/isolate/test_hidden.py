"""Where `/proc` hides other users' processes, and for a user without any privilege, all is measured as ever."""

import os
import shutil
import subprocess

import pytest

HIDE = 'mount -o remount,hidepid=invisible,gid=65533 /proc && exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
NOBODY = 65534


def hidden(command):
    """A command that runs without privileges and sees its own user's processes only."""
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", HIDE, "sh", *command]


@pytest.fixture
def stranger():
    """Another user's process."""
    process = subprocess.Popen(["sleep", "99"], user=NOBODY)
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def hides(stranger):
    """Skips where it can't be tried: it takes root, and a kernel that lets it mount."""
    if os.getuid() or not all(map(shutil.which, ("unshare", "setpriv"))):
        pytest.skip("needs root, unshare and setpriv")
    tried = subprocess.run(
        hidden(["test", "!", "-e", f"/proc/{stranger}"]), check=False, capture_output=True
    )
    if tried.returncode:
        pytest.skip(f"can't hide processes here: {tried.stderr.decode().strip()}")


def test_a_case_is_measured_and_ended(inner, hides, monkeypatch):
    code = """
        @pytest.mark.memory_ceiling("120MiB", of="growth")
        @pytest.mark.min_cores(1)
        def test_in_children():
            code = "import time; block = b'x' * (40 << 20)\\nwhile time.process_time() < 0.8: pass"
            children = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(2)]
            assert [child.wait() for child in children] == [0, 0]
        @pytest.mark.memory_ceiling("60MiB", of="growth")
        def test_over():
            block = b"x" * (100 << 20)
            time.sleep(0.1)
        def test_orphan():
            subprocess.Popen(["sleep", "99"], start_new_session=True)
        def test_dies(): os.abort()
    """
    command = inner.command
    monkeypatch.setattr(inner, "command", lambda *args: hidden(command(*args)), raising=False)
    session = inner.run(code)
    assert session.outcomes == {
        "test_in_children": "passed",
        "test_over": "failed",
        "test_orphan": "passed",
        "test_dies": "failed",
    }
    assert "memory growth 100 MiB is over the ceiling" in session.failure("test_over")
