import ctypes
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from pytest_layers.measure import forks, tree
from pytest_layers.measure.procfs import Process

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="asks Linux"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

CLONE_VM, CLONE_VFORK, SIGCHLD = 0x100, 0x4000, 17
ASLEEP_MICROSECONDS = 200_000


@contextmanager
def vforked():
    """A child that sleeps in our own memory, while a thread of ours waits for its end in the kernel."""
    libc = ctypes.CDLL(None)
    stack = ctypes.create_string_buffer(2**20)
    top = ctypes.c_void_p((ctypes.addressof(stack) + 2**20) & ~0xF)
    asleep = ctypes.cast(libc.usleep, ctypes.c_void_p)
    flags = CLONE_VM | CLONE_VFORK | SIGCHLD
    arguments = asleep, top, flags, ctypes.c_void_p(ASLEEP_MICROSECONDS)
    before = tree.descendants(os.getpid())
    thread = threading.Thread(target=libc.clone, args=arguments)
    thread.start()
    yield from _first_new(before)
    thread.join()


@contextmanager
def forked():
    before = tree.descendants(os.getpid())
    pid = os.fork()
    if not pid:
        time.sleep(ASLEEP_MICROSECONDS / 1e6)
        os._exit(0)
    yield from _first_new(before)


def _first_new(before):
    last = time.monotonic() + 5
    while not (new := set(tree.descendants(os.getpid())) - set(before)):
        assert time.monotonic() < last
    (pid,) = new
    process = Process(pid)
    time.sleep(0.02)
    yield process
    process.close()
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.fixture(params=["kcmp", "sandbox"])
def is_told(request, monkeypatch):
    """Whether the kernel may be asked."""
    if request.param == "sandbox":
        monkeypatch.setattr(forks, "_KCMP", {})
    elif forks._compare_memory(os.getpid(), os.getpid()):
        pytest.skip("kcmp is not allowed here")
    return request.param == "kcmp"


def test_a_child_between_vfork_and_exec_borrows_its_parents_memory(is_told):
    with vforked() as child:
        assert forks.borrows(child, os.getpid())


def test_a_fork_does_not(is_told):
    with forked() as child:
        assert forks.borrows(child, os.getpid()) is (False if is_told else None)


def test_of_a_child_that_touched_much_no_thread_is_asked(monkeypatch):
    """There may be many forks, of a parent of many threads."""
    monkeypatch.setattr(forks, "_KCMP", {})
    monkeypatch.setattr(Process, "minor_faults", lambda _: 10_000)
    with vforked() as child:
        assert forks.borrows(child, os.getpid()) is None
