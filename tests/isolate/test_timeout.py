"""A test that hangs is stopped at the timeout, whatever it does about signals, and shows where it hung."""

import re
import time

HANGS = {
    "sleeps": "time.sleep(99)",
    "spins": "while True: pass",
    "ignores_sigterm": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)",
    "blocks_all_signals": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG)); time.sleep(99)"
    ),
    "stops_itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "waits_for_a_child": "subprocess.run([sys.executable, '-S', '-c', 'while True: pass'])",
}


def test_every_hang_is_one_failed_test(inner):
    tests = [f"def test_{name}():\n    {body}\n" for name, body in HANGS.items()]
    session = inner.run("\n".join([*tests, "def test_last(): pass"]), "--layers-timeout=3s")

    expected = {f"test_{name}": "failed" for name in HANGS} | {"test_last": "passed"}
    assert session.outcomes == expected
    for name in HANGS:
        failure = session.failure(f"test_{name}")
        assert "stopped at the timeout of 3.00 s (--layers-timeout) during call, " in failure
        assert re.search(r" after its start; last reading [1-9]\d\.\d MiB", failure)
    for name in HANGS.keys() - {"blocks_all_signals"}:
        assert f"in test_{name}\n" in session.text, "the stack of the hanging thread"


def test_hangs_outside_the_call(inner):
    session = inner.run(
        """
        @pytest.fixture
        def hangs_before(): time.sleep(99)

        @pytest.fixture
        def hangs_after():
            yield
            time.sleep(99)

        def test_before(hangs_before): pass
        def test_after(hangs_after): pass
        def test_last(): pass
        """,
        "--layers-timeout=3s",
    )
    assert session.outcomes == {
        "test_before": "error",
        "test_after": "error",
        "test_last": "passed",
    }
    assert "during setup, " in session.failure("test_before")
    assert "during teardown, " in session.failure("test_after")


def test_stack_is_shown_without_capture(inner):
    session = inner.run("def test_hangs(): time.sleep(99)", "--layers-timeout=3s", "-s")
    assert "in test_hangs\n" in session.text
    assert session.outcomes == {"test_hangs": "failed"}


def test_making_data_may_take_as_long_as_it_goes_on(supervise):
    told = supervise(
        """
        for done in range(4):
            time.sleep(1)
            send("progress", what="own", done=done, total=4)
        send("done")
        """,
        timeout_seconds=3,
    )
    assert told.of("done")
    assert not told.of("stopped")


def test_progress_within_the_window_holds_up_no_timeout(supervise):
    told = supervise(
        """
        mark("begin")
        for done in range(60):
            time.sleep(0.1)
            send("progress", what="own", done=done, total=60)
        """,
        timeout_seconds=1.2,
    )
    assert told.of("stopped")


def test_threads_that_never_end_do_not_hold_up_the_session(supervise):
    """After its last word a process has a while to end, not until the timeout."""
    started = time.monotonic()
    told = supervise(
        """
        threading.Thread(target=time.sleep, args=(99,)).start()
        send("done")
        """,
        exit_seconds=0.5,
    )
    assert time.monotonic() - started < 5
    assert told.of("done")
    assert not told.of("stopped")
    assert told.ended["status"] == -9
