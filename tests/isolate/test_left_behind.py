"""What a test leaves behind is gone when it ends: processes, shared memory, folders; what it changed hurts no other."""

import os
from pathlib import Path

import pytest

DAEMON = """
    def daemon(keep_environment=True):
        # Twice forked, in a session of its own, with a name that only the sandbox knows.
        code = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)  # {tag}"
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            environment = dict(os.environ) if keep_environment else {}
            os.execve(sys.executable, [sys.executable, "-S", "-c", code], environment)
        os.wait()
"""


def test_processes(inner):
    session = inner.run(
        DAEMON
        + """
    def test_daemon(): daemon()
    def test_daemon_without_environment(): daemon(keep_environment=False)
    def test_daemon_and_death():
        daemon(keep_environment=False)
        time.sleep(0.1)
        os.abort()
    def test_daemon_and_failure():
        daemon(keep_environment=False)
        assert False
    def test_children():
        for _ in range(200):
            subprocess.Popen(["sleep", "99"])
    def test_stopped_children():
        for _ in range(3):
            os.kill(subprocess.Popen(["sleep", "99"]).pid, signal.SIGSTOP)
    def test_fork_bomb():
        last = time.monotonic() + 0.5
        for _ in range(6):  # 64 at most at a time
            os.fork()
        while time.monotonic() < last:
            if os.fork() == 0:
                os._exit(0)
            os.wait()
    def test_pool():
        import multiprocessing
        pool = multiprocessing.get_context("spawn").Pool(2)
        assert pool.apply(os.getppid) == os.getpid()
        pool.join = pool.terminate = pool.close = None
        globals()["kept"] = pool
        os._exit(0)
    def test_forkserver():
        import multiprocessing
        process = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(99,), daemon=True)
        process.start()
    def test_daemon_thread():
        threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
    def test_last(): pass
        """
    )
    failed = {"test_daemon_and_death", "test_daemon_and_failure", "test_pool"}
    for name, outcome in session.outcomes.items():
        if name != "test_fork_bomb":
            assert outcome == ("failed" if name in failed else "passed"), name
    assert len(session.outcomes) == 11


def test_shared_memory(inner):
    """Also of a process that had no chance to unlink it."""
    before = {path.name for path in Path("/dev/shm").glob("psm_*")}
    session = inner.run("""
        def segment(name):
            made = shared_memory.SharedMemory(f"{name}-{tag}", create=True, size=4 << 20)
            made.buf[:] = b"x" * len(made.buf)
            return made

        def test_forgotten():
            segment("one")

        def test_forgotten_at_once():
            segment("two").close()

        def test_forgotten_and_killed():
            segment("three").close()
            os.kill(os.getpid(), signal.SIGKILL)

        def test_held_by_a_child():
            made = segment("four")
            subprocess.Popen(["sleep", "99"], pass_fds=[made._fd])

        def test_without_a_name_given():
            globals()["kept"] = shared_memory.SharedMemory(create=True, size=1 << 20)

        def test_held_for_a_while():
            import _posixshmem
            descriptor = _posixshmem.shm_open(f"/five-{tag}", os.O_CREAT | os.O_RDWR)
            os.ftruncate(descriptor, 1 << 20)
            time.sleep(0.4)

        def test_folder():
            os.mkdir(f"/dev/shm/{tag}")
            with open(f"/dev/shm/{tag}/file", "wb") as file:
                file.write(b"x" * (1 << 20))
                file.flush()
                time.sleep(0.4)

        def test_last(): pass
    """)
    assert {path.name for path in Path("/dev/shm").glob("psm_*")} <= before
    assert session.outcomes.pop("test_last") == "passed"
    assert session.outcomes["test_forgotten_and_killed"] == "failed"


def test_semaphores(supervise):
    """Unlinked by multiprocessing's own tracker, which is given the time for it."""
    told = supervise("""
        import multiprocessing
        semaphores = [multiprocessing.get_context("spawn").Semaphore() for _ in range(5)]
        for _ in range(100):
            subprocess.Popen(["sleep", "99"])
        send("data", names=[semaphore._semlock.name for semaphore in semaphores])
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    names = told.of("data")[0]["names"]
    assert len(names) == 5
    assert [name for name in names if Path(f"/dev/shm/sem.{name[1:]}").exists()] == []
    assert set(told.ended["left"]) == {"sleep 99"}


def test_what_is_changed_hurts_no_other(inner):
    session = inner.run("""
        import resource, shutil, tempfile

        def test_folder_changed():
            os.chdir("/")
        def test_folder_deleted():
            shutil.rmtree(tempfile.gettempdir())
        def test_folder_forbidden(tmp_path):
            folder = tmp_path / "inside"
            folder.mkdir()
            (folder / "file").touch()
            folder.chmod(0)
            tmp_path.chmod(0)
        def test_folder_stood_in():
            folder = tempfile.mkdtemp()
            os.chdir(folder)
            shutil.rmtree(folder)
        def test_temporary_files_left():
            for _ in range(100):
                tempfile.mkstemp()
        def test_signals_ignored():
            for number in set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
                signal.signal(number, signal.SIG_IGN)
        def test_limits():
            resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        def test_no_descriptors_left():
            files = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
            with pytest.raises(OSError):
                while True:
                    files.append(open(os.devnull))
        def test_environment():
            os.environ.clear()
            sys.path.clear()
        def test_nice():
            os.nice(19)
        def test_modules():
            sys.stdout = sys.stderr = None
        def test_last():
            assert os.getcwd() == os.path.dirname(os.path.abspath(__file__))
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    """)
    outcomes = session.outcomes
    assert len(outcomes) == 12
    assert {name for name, outcome in outcomes.items() if outcome != "passed"} <= {"test_modules"}


def test_foreign_shared_memory_is_left_alone(inner, sandbox):
    """What lay there before, and what another program makes meanwhile, is not ours to remove."""
    before, meanwhile = (Path("/dev/shm", f"{name}-{sandbox.tag}") for name in ("a", "b"))
    before.write_bytes(b"x" * 4096)
    process = inner.start("""
        def test_holds_it():
            with open(f"/dev/shm/a-{tag}", "rb"):
                open("ready", "w").close()
                time.sleep(1)
    """)
    try:
        inner.await_file("ready")
        meanwhile.write_bytes(b"x" * 4096)
        session = inner.finish(process)
        assert session.outcomes == {"test_holds_it": "passed"}
        assert before.exists()
        assert meanwhile.exists()
    finally:
        before.unlink(missing_ok=True)
        meanwhile.unlink(missing_ok=True)
    sandbox.assert_nothing_left()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend its files to another user")
def test_forbidden_folder_without_privileges(supervise):
    """Root removes anything; another user has to open the folders first."""
    told = supervise("""
        folder = os.environ["TMPDIR"]
        os.makedirs(folder + "/a/b")
        os.chmod(folder + "/a/b", 0)
        os.chmod(folder + "/a", 0)
    """)
    assert told.ended["status"] == 0
