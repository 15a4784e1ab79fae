"""Memory and CPU of a tree are those of all its processes, each page once: work of known cost, bounds on both sides."""

import textwrap

import pytest

MIB = 2**20

STARTS = {
    "subprocess": """
        code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import script; script.do({work!r})"
        children = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(2)]
        for child in children:
            assert child.wait() == 0
    """,
    "os_fork": """
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                do(work)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
    """,
    "daemon": """
        # Forked twice, in a session of its own: its parent is the supervisor before it has begun.
        reading, writing = os.pipe()
        for _ in range(2):
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
                do(work)
                os._exit(0)
        os.wait(), os.wait()
        os.close(writing)
        os.read(reading, 1)
    """,
    **{
        way: f"""
        import multiprocessing
        context = multiprocessing.get_context("{way}")
        children = [context.Process(target=do, args=(work,)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
    """
        for way in ("fork", "spawn", "forkserver")
    },
}


def started(way: str, work: str) -> str:
    """A script whose window holds two children at once that do `work`."""
    lines = [f"work = {work!r}", 'mark("begin")', textwrap.dedent(STARTS[way]), 'mark("end")']
    return "\n".join(lines)


@pytest.mark.parametrize("way", STARTS)
def test_memory_of_children(supervise, way):
    measured = supervise(started(way, f"hold({100 * MIB}, 0.5)")).measured
    growth = measured.growth
    # Two interpreters, and a server and a tracker of multiprocessing, are above the known sum.
    assert growth.upper_bytes >= 199 * MIB
    assert growth.lower_bytes >= 198 * MIB
    assert growth.lower_bytes <= growth.upper_bytes <= 255 * MIB


@pytest.mark.parametrize("way", STARTS)
def test_cpu_of_children(supervise, way):
    measured = supervise(started(way, "burn(0.4)")).measured
    assert 0.78 <= measured.cpu_seconds <= 1.25
    assert measured.cores_wanted_upper <= 2.3


def test_cpu_of_children_that_come_and_go(supervise):
    """Each too short-lived to be seen working."""
    measured = supervise("""
        mark("begin")
        for _ in range(40):
            if os.fork() == 0:
                burn(0.02)
                os._exit(0)
            os.wait()
        mark("end")
    """).measured
    assert 0.78 <= measured.cpu_seconds <= 1.2


@pytest.mark.parametrize("rest", [0, 0.3])
def test_cpu_of_a_child_that_ended_before_the_window_and_is_waited_for_in_it(supervise, rest):
    measured = supervise(f"""
        rest = {rest}
        if os.fork() == 0:
            burn(0.4)
            os._exit(0)
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        time.sleep(rest)
        mark("begin")
        os.wait()
        burn(time.process_time() + 0.3)
        mark("end")
    """).measured
    assert 0.29 <= measured.cpu_seconds <= 0.4


def test_cpu_of_children_nobody_waits_for(supervise):
    """Where SIGCHLD is ignored the kernel forgets what children took: only looking at them tells."""
    measured = supervise("""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        mark("begin")
        if os.fork() == 0:
            burn(0.8)
            os._exit(0)
        try:
            os.wait()
        except ChildProcessError:
            pass
        mark("end")
    """).measured
    assert 0.7 <= measured.cpu_seconds <= 1.0


def test_children_one_after_the_other(supervise):
    measured = supervise("""
        mark("begin")
        for _ in range(3):
            if os.fork() == 0:
                hold(100 * MIB, 0.2)
                os._exit(0)
            os.wait()
        mark("end")
    """).measured
    assert 98 * MIB <= measured.growth.lower_bytes <= measured.growth.upper_bytes <= 200 * MIB


def test_a_short_lived_child_is_within_the_bracket(supervise):
    measured = supervise("""
        mark("begin")
        if os.fork() == 0:
            hold(100 * MIB, 0)
            os._exit(0)
        os.wait()
        mark("end")
    """).measured
    assert measured.growth.lower_bytes <= 101 * MIB
    assert measured.growth.upper_bytes >= 99 * MIB


def test_what_forks_share_counts_once(supervise):
    measured = supervise("""
        mark("begin")
        block = b"x" * (200 * MIB)
        for _ in range(4):
            if os.fork() == 0:
                block.count(b"y")
                time.sleep(0.4)
                os._exit(0)
        for _ in range(4):
            os.wait()
        mark("end")
    """).measured
    # Five times 200 MiB are mapped; on a busy machine the bound has to allow for some of that.
    assert 199 * MIB <= measured.growth.lower_bytes <= 215 * MIB
    assert 199 * MIB <= measured.growth.upper_bytes <= 900 * MIB


def test_what_forks_write_counts_for_each(supervise):
    measured = supervise("""
        block = bytearray(b"x" * (100 * MIB))
        mark("begin")
        for _ in range(2):
            if os.fork() == 0:
                for at in range(0, len(block), 4096):
                    block[at] = 1
                time.sleep(0.6)
                os._exit(0)
        os.wait(), os.wait()
        mark("end")
    """).measured
    assert 195 * MIB <= measured.growth.lower_bytes <= measured.growth.upper_bytes <= 240 * MIB


def test_shared_memory_counts_once(supervise):
    measured = supervise("""
        from multiprocessing import shared_memory
        mark("begin")
        made = shared_memory.SharedMemory(f"once-{tag}", create=True, size=100 * MIB)
        for at in range(0, len(made.buf), 4096):
            made.buf[at] = 1
        for _ in range(3):
            if os.fork() == 0:
                bytes(made.buf[::4096])
                time.sleep(0.4)
                os._exit(0)
        for _ in range(3):
            os.wait()
        mark("end")
        made.close()
        made.unlink()
    """).measured
    assert 100 * MIB <= measured.shared_bytes <= 101 * MIB
    # The reading counts once; the bound has to allow for what moving pages of four processes may hide.
    assert 99 * MIB <= measured.growth.lower_bytes <= 120 * MIB
    assert 99 * MIB <= measured.growth.upper_bytes <= 450 * MIB


@pytest.mark.parametrize(
    ("make", "shared"),
    [
        ("open(path, 'wb')", True),
        ("os.fdopen(os.memfd_create('m'), 'wb')", True),
        ("mmap.mmap(-1, 50 * MIB)", True),
        ("open('on-disk', 'wb')", False),
    ],
)
def test_files_in_memory(supervise, make, shared):
    measured = supervise(f"""
        import mmap
        os.chdir(os.environ["TMPDIR"])
        path = f"/dev/shm/written-{{tag}}"
        block = b"x" * (50 * MIB)
        mark("begin")
        made = {make}
        made.write(block)
        time.sleep(0.4)
        mark("end")
    """).measured
    if shared:
        assert 50 * MIB <= measured.shared_bytes <= 51 * MIB
        assert 49 * MIB <= measured.growth.lower_bytes <= measured.growth.upper_bytes <= 60 * MIB
    else:
        assert measured.shared_bytes <= MIB
        assert measured.growth.upper_bytes <= 5 * MIB


def test_maps_of_files_are_not_judged(supervise, tmp_path):
    path = tmp_path / "mapped"
    path.write_bytes(bytes(200 * MIB))
    measured = supervise(f"""
        import mmap
        mark("begin")
        with open({str(path)!r}, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            mapped.find(b"x")
            time.sleep(0.3)
        mark("end")
    """).measured
    assert measured.file_bytes >= 200 * MIB
    assert measured.growth.lower_bytes <= 2 * MIB
    assert measured.growth.upper_bytes <= 20 * MIB


def test_a_process_whose_main_thread_alone_has_ended_is_alive(supervise):
    """It is measured by another of its threads, and ended with the rest."""
    told = supervise("""
        mark("begin")
        reading, writing = os.pipe()
        if os.fork() == 0:
            def work():
                time.sleep(0.2)
                held = b"x" * (100 * MIB)
                shared = shared_memory.SharedMemory(tag, create=True, size=50 * MIB)
                shared.buf[:] = bytes(50 * MIB)
                burn(0.5)
                os.write(writing, b"x")
                time.sleep(99)
            import ctypes
            from multiprocessing import shared_memory
            threading.Thread(target=work).start()
            ctypes.CDLL(None).pthread_exit(None)
        os.read(reading, 1)
        mark("end")
    """)
    # Filling the segment takes another 50 MiB for a moment.
    growth = told.measured.growth
    assert 148 * MIB <= growth.lower_bytes <= growth.upper_bytes <= 215 * MIB
    assert 0.45 <= told.measured.cpu_seconds <= 1.0
    assert len(told.ended["left"]) == 1


def test_many_threads_leave_open_files_for_processes_that_come_later(inner):
    session = inner.run("""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

        @pytest.mark.memory_ceiling("80MiB")
        def test_it():
            for _ in range(150):
                threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
            time.sleep(0.5)
            for _ in range(2):
                if os.fork() == 0:
                    held = b"x" * (50 << 20)
                    time.sleep(0.5)
                    os._exit(0)
            os.wait(), os.wait()
    """)
    assert session.outcomes == {"test_it": "failed"}
    assert "is over the ceiling of 80.0 MiB" in session.failure("test_it")
