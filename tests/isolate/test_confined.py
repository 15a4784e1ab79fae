"""In a container, where `/proc` hides other users' processes, and without any privilege, all is measured as ever."""

import os
import shutil
import subprocess

import pytest

UNPRIVILEGED = 'exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
MOUNTED = ("unshare", "--mount", "--propagation=private")
HIDING = "mount -o remount,hidepid=invisible,gid=65533 /proc"
CONTAINED = "mount -t proc proc /proc && mount -t tmpfs none /sys/fs/cgroup"
"""Its own `/proc`, where pytest is the first process of all, and no cgroups."""
WAYS = {
    "hidepid": [*MOUNTED, "sh", "-c", f"{HIDING} && {UNPRIVILEGED}", "sh"],
    "container": [
        *(*MOUNTED, "--pid", "--ipc", "--fork", "--kill-child"),
        *("sh", "-c", f"{CONTAINED} && {UNPRIVILEGED}", "sh"),
    ],
}
NOBODY = 65534


@pytest.fixture
def stranger():
    """Another user's process."""
    process = subprocess.Popen(["sleep", "99"], user=NOBODY)
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture(params=WAYS)
def confined(request, stranger):
    """What a command begins with that runs so; skips where it can't be tried: it takes root, and leave to mount."""
    if os.getuid() or not all(map(shutil.which, ("unshare", "setpriv"))):
        pytest.skip("needs root, unshare and setpriv")
    way = WAYS[request.param]
    tried = subprocess.run(
        [*way, "test", "!", "-e", f"/proc/{stranger}"], check=False, capture_output=True
    )
    if tried.returncode:
        pytest.skip(f"can't hide processes here: {tried.stderr.decode().strip()}")
    return way


def test_a_case_is_measured_and_ended(inner, confined, monkeypatch):
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
    monkeypatch.setattr(inner, "command", lambda *args: [*confined, *command(*args)])
    session = inner.run(code)
    assert session.outcomes == {
        "test_in_children": "passed",
        "test_over": "failed",
        "test_orphan": "passed",
        "test_dies": "failed",
    }
    assert "memory growth 100 MiB is over the ceiling" in session.failure("test_over")
