"""Output without measure, and rubbish where it does not belong."""

MIB = 2**20

PRINTS = """
    def test_captured():
        for _ in range(10_000):
            print("c" * 1023)
        assert False

    def test_straight():
        for _ in range(10):
            os.write(1, b"d" * (1 << 20))
            os.write(2, b"e" * (1 << 20))

    def test_straight_and_dead():
        os.write(2, b"f" * (1 << 20) + b"the last word")
        os.abort()

    def test_byte_by_byte():
        for _ in range(20_000):
            os.write(2, b"g")

    def test_without_standard_streams():
        for descriptor in (0, 1, 2):
            os.close(descriptor)

    def test_last(): pass
"""
OUTCOMES = {
    "test_captured": "failed",
    "test_straight": "passed",
    "test_straight_and_dead": "failed",
    "test_byte_by_byte": "passed",
}


def test_captured(inner):
    session = inner.run(PRINTS, "--show-capture=all")
    outcomes = session.outcomes
    assert outcomes.pop("test_last") == "passed"
    assert "test_without_standard_streams" in outcomes
    assert OUTCOMES.items() <= outcomes.items()
    assert session.text.count("c" * 1023) == 10_000
    assert "Captured stdout call" in session.text
    assert "dddd" not in session.text


def test_uncaptured(inner):
    session = inner.run(PRINTS, "-s")
    outcomes = session.outcomes
    assert outcomes.pop("test_last") == "passed"
    assert OUTCOMES.items() <= outcomes.items()
    assert session.text.count("c" * 1023) == 10_000
    assert session.text.count("d") >= 10 * MIB
    assert session.text.count("e") >= 10 * MIB
    assert "the last word" in session.text


def test_past_the_capture(inner):
    """`--capture=sys` leaves descriptors 1 and 2 alone: the supervisor reads them, and keeps the end."""
    session = inner.run(PRINTS, "--capture=sys")
    assert OUTCOMES.items() <= session.outcomes.items()
    assert session.outcomes["test_last"] == "passed"
    assert "the last word" in session.text
    assert 50 * 1024 < session.text.count("f") < MIB


def test_huge_report(inner):
    session = inner.run(
        """
        class Huge:
            def __repr__(self): return "h" * (100 << 20)

        def test_huge_text(): raise ValueError("i" * (60 << 20))
        def test_huge_repr(): assert Huge() == 1
        def test_last(): pass
        """,
        "--show-capture=no",
        "--tb=line",
        "--junitxml=",
    )
    assert session.outcomes == {
        "test_huge_text": "failed",
        "test_huge_repr": "failed",
        "test_last": "passed",
    }
    assert "i" * 1000 in session.text


def test_rubbish_in_all_pipes(inner):
    """Whoever writes to a descriptor that is not his spoils his own test at most."""
    session = inner.run(r"""
        RUBBISH = [b"\0\xff\n", b"rubbish", b'{"kind": "begin"}\n{"kind": "end", "usage": 3}\n',
                   b'{"kind": "ended", "status": 0}\n{"kind": "nonsense"}\n[1, 2]\n{"kind": "report"\n']

        @pytest.mark.parametrize("number", range(len(RUBBISH)))
        def test_rubbish(number):
            for descriptor in range(3, 50):
                try:
                    os.write(descriptor, RUBBISH[number])
                except OSError:
                    pass

        def test_last(): pass
    """)
    assert session.status in {0, 1}
    assert len(session.outcomes) == 5
    assert session.outcomes["test_last"] == "passed"


def test_fork_that_returns_through_pytest(inner):
    """Only the test's own process has a say; its twin neither reports nor closes the window."""
    session = inner.run("""
        def test_forks():
            if os.fork() == 0:
                raise ValueError("this is the child")
            time.sleep(0.5)

        def test_last(): pass
    """)
    assert session.outcomes == {"test_forks": "passed", "test_last": "passed"}
    assert "this is the child" not in session.text
