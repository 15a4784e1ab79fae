"""A test that dies, in whatever way, is one failed test that says where and at what size; the session goes on."""

import pytest

DEATHS = {
    "abort": ("os.abort()", "ended with SIGABRT during call"),
    "killed": (
        "os.kill(os.getpid(), signal.SIGKILL)",
        "ended with SIGKILL (killed from outside, or out of memory in a container) during call",
    ),
    "segfault": ("import ctypes; ctypes.string_at(0)", "ended with SIGSEGV during call"),
    "real_time_signal": ("os.kill(os.getpid(), 40)", "ended with signal 40 during call"),
    "exit_0": ("os._exit(0)", "exited with status 0 during call"),
    "exit_7": ("os._exit(7)", "exited with status 7 during call"),
    "process_group": ("os.killpg(0, signal.SIGKILL)", "ended with SIGKILL"),
    "terminated": ("os.kill(os.getpid(), signal.SIGTERM)", "ended with SIGTERM during call"),
    "all_descriptors": ("os.closerange(0, 4096)", "during call"),
    "supervisor": (
        "subprocess.Popen(['sleep', '100']); os.kill(os.getppid(), signal.SIGKILL); time.sleep(9)",
        "the supervisor of the test's process was ended by SIGKILL during call",
    ),
    "thread": (
        "threading.Thread(target=os.abort).start(); time.sleep(9)",
        "ended with SIGABRT during call",
    ),
}


def test_every_death_is_one_failed_test(inner):
    tests = [f"def test_{name}(): {body}" for name, (body, _) in DEATHS.items()]
    session = inner.run("\n".join([*tests, "def test_last(): pass"]))

    assert session.status == 1
    expected = {f"test_{name}": "failed" for name in DEATHS} | {"test_last": "passed"}
    assert session.outcomes == expected
    assert set(session.junit) == set(expected)
    for name, (_, text) in DEATHS.items():
        assert text in session.failure(f"test_{name}")
    assert f"{len(DEATHS)} failed, 1 passed" in session.text


def test_says_when_and_at_what_size_it_died(inner):
    session = inner.run("""
        def test_big():
            block = b"x" * (100 << 20)
            time.sleep(0.3)
            os.abort()
    """)
    failure = session.failure("test_big")
    assert "ended with SIGABRT during call, " in failure
    assert " after its start; last reading 12" in failure  # 100 MiB and an interpreter of 20 odd
    assert ", peak 12" in failure
    assert "Last output of the test's process" in session.text
    assert "Fatal Python error: Aborted" in session.text
    assert "test_inner.py" in session.text


def test_death_in_other_phases(inner):
    session = inner.run("""
        @pytest.fixture
        def dies_before():
            block = b"x" * (100 << 20)
            time.sleep(0.3)
            os.abort()

        @pytest.fixture
        def dies_after():
            yield
            os.abort()

        @pytest.fixture
        def raises_before():
            raise ValueError("no")

        @pytest.fixture
        def raises_after():
            yield
            raise ValueError("no")

        @pytest.fixture
        def exits_before(): os._exit(5)

        def test_setup(dies_before): pass
        def test_setup_with_the_status_of_no_tests(exits_before): pass
        def test_teardown(dies_after): pass
        def test_failed_setup_then_death(dies_after, raises_before): pass
        def test_failed_call_then_death(dies_after): assert False
        def test_raises_before(raises_before): pass
        def test_raises_after(raises_after): pass
        def test_sys_exit(): sys.exit(3)
        def test_base_exception(): raise BaseException("odd")
        def test_last(): pass
    """)
    assert session.status == 1
    assert "SIGABRT during setup, " in session.failure("test_setup")
    assert "last reading 12" in session.failure("test_setup")
    exited = session.failure("test_setup_with_the_status_of_no_tests")
    assert "exited with status 5 during setup, " in exited
    assert "SIGABRT during teardown, " in session.failure("test_teardown")
    assert "SIGABRT during teardown, " in session.text.partition("failed_setup_then_death")[2]
    assert "ValueError: no" in session.failure("test_raises_before")
    assert "ValueError: no" in session.failure("test_raises_after")
    assert "SystemExit: 3" in session.failure("test_sys_exit")
    assert "BaseException: odd" in session.failure("test_base_exception")
    assert session.outcomes == {
        "test_setup": "error",
        "test_setup_with_the_status_of_no_tests": "error",
        "test_teardown": "error",
        "test_failed_setup_then_death": "error",
        "test_failed_call_then_death": "failed",
        "test_raises_before": "error",
        "test_raises_after": "error",
        "test_sys_exit": "failed",
        "test_base_exception": "failed",
        "test_last": "passed",
    }


def test_runaway_past_its_ceiling_is_stopped(inner):
    """Well before the machine's end: at twice the ceiling and 1 GiB."""
    session = inner.run("""
        def run_away():
            blocks = []
            for _ in range(6000):
                blocks.append(b"x" * (1 << 20))

        @pytest.mark.memory_ceiling("50MiB")
        def test_growth(): run_away()

        @pytest.mark.memory_ceiling("100MiB", of="total")
        def test_total_in_a_child():
            if os.fork() == 0:
                run_away()
            os.wait()

        def test_last(): pass
    """)
    assert session.outcomes["test_last"] == "passed"
    for name, line in (("test_growth", "1.1"), ("test_total_in_a_child", "1.20")):
        failure = session.failure(name)
        assert "far past its memory ceiling (line drawn at " + line in failure
        assert "during call" in failure
        assert session.outcomes[name] == "failed"
    assert "Broken limits" in session.text
    assert "over the ceiling of 50.0 MiB" in session.text


def test_runaway_without_a_ceiling_is_stopped(inner, sandbox):
    """Before the machine is full: here all but 300 MiB of it is kept back."""
    (sandbox.folder / "conftest.py").write_text(
        "from pytest_layers import processes\n"
        "from pytest_layers.measure import machine\n"
        "processes.RESERVE_BYTES = machine.memory_spare_bytes() - 300 * 2**20\n"
    )
    session = inner.run("""
        def test_runs_away():
            blocks = [b"x" * (1 << 20) for _ in range(4000)]

        @pytest.fixture
        def runs_away():
            blocks = [b"x" * (1 << 20) for _ in range(4000)]

        def test_runs_away_before(runs_away): pass
    """)
    for name, phase in (("test_runs_away", "call"), ("test_runs_away_before", "setup")):
        failure = session.failure(name)
        assert "before it took the machine's last memory (" in failure
        assert f" were left for it) during {phase}, " in failure
        assert "; last reading " in failure


@pytest.mark.parametrize(
    ("body", "text", "status"),
    [
        ("pytest.exit('enough', returncode=9)", "enough", 9),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 2),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", "KeyboardInterrupt", 2),
    ],
)
def test_the_session_ends_where_a_test_asks_for_it(inner, body, text, status):
    """As it does without the plugin; what ran before is in the reports."""
    session = inner.run(f"""
        def test_first(): pass
        def test_asks(): {body}
        def test_last(): pass
    """)
    assert session.status == status
    assert text in session.text
    assert session.outcomes == {"test_first": "passed"}
    assert "test_first" in session.junit


def test_death_while_collecting_in_the_child(inner):
    """There, not in pytest's own process: TMPDIR tells them apart."""
    session = inner.run("""
        if os.path.basename(os.environ["TMPDIR"]).startswith("layers-"):
            os.abort()
        def test_one(): pass
        def test_two(): pass
    """)
    for name in ("test_one", "test_two"):
        assert "ended with SIGABRT during setup, " in session.failure(name)


def test_a_runaway_past_its_ceiling_is_what_an_xfail_expected(inner):
    session = inner.run("""
        @pytest.mark.memory_ceiling("1MiB")
        @pytest.mark.xfail(strict=True, reason="it holds too much")
        def test_expected():
            blocks = [b"x" * (1 << 20) for _ in range(4000)]

        @pytest.mark.memory_ceiling("1MiB")
        @pytest.mark.xfail(raises=KeyError)
        def test_of_another_kind():
            blocks = [b"x" * (1 << 20) for _ in range(4000)]
    """)
    assert session.outcomes == {"test_expected": "xfailed", "test_of_another_kind": "failed"}
