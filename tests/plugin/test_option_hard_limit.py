"""`--layers-hard-limit`: all the memory that a case has, and what its engine did with it.

Kept by the supervisor, or by the kernel where this session runs in a cgroup that was handed over to it.
"""

import pytest

ENGINE = """
def pytest_layers_engines():
    from pathlib import Path

    class Spilling(Fake):
        name = "spilling"

        def spill(self, size):
            folder = Path(self.budget.spill_dir)
            folder.mkdir()
            folder.joinpath("block").write_bytes(b"x" * size)

    return [Fake, Spilling, Far]
"""
HEAD = """
    import pytest
    from pytest import mark

    def run_away():
        blocks = [b"x" * 2**20 for _ in range(4000)]

"""
AT_THE_LIMIT = {"stopped at the limit by the supervisor", "killed at the limit by the kernel"}


@pytest.fixture
def spilling(layers):
    layers.engines(ENGINE)
    return layers


def survival(ran, name):
    return ran.case(name).survival


def test_what_the_engine_did(spilling):
    ran = spilling.run(
        HEAD
        + """
    def test_finishes(engine): pass

    def test_spills(engine): engine.spill(2**21)

    def test_dies(engine): run_away()

    def test_gets_no_more(engine): raise MemoryError("no more")

    def test_is_wrong(engine): assert 1 == 2
    """,
        "--layers=spilling",
        "--layers-hard-limit=400MiB",
        "-v",
    )
    names = ("finishes", "spills", "dies", "gets_no_more", "is_wrong")
    found = {name: survival(ran, f"test_{name}[spilling]") for name in names}
    assert {one.limit_bytes for one in found.values()} == {400 * 2**20}
    assert {name: one.outcome for name, one in found.items()} == {
        "finishes": "finished",
        "spills": "spilled",
        "dies": "died",
        "gets_no_more": "died",
        "is_wrong": "failed",
    }
    assert found["spills"].text == "spilled 2.00 MiB to disk"
    assert found["dies"].text in AT_THE_LIMIT
    assert found["gets_no_more"].text == "got no more memory: MemoryError: no more"
    assert ran.outcomes == {"passed": 2, "failed": 3}
    assert ran.table[0][-3:-1] == ["hard", "limit"]
    details = f"in 400 MiB (hard limit, kept by the {found['spills'].kept_by}): spilled 2.00 MiB"
    assert any(details in line for line in ran.lines)


def test_a_death_says_limit_reading_holders_and_course(layers):
    ran = layers.run(
        HEAD
        + """
    @mark.memory_ceiling("10GiB")
    def test_it(): run_away()
    """,
        "--layers-hard-limit=400MiB",
    )
    failure = ran.section("test_it")
    assert "the hard limit of 400 MiB (--layers-hard-limit) during call, " in failure[0]
    assert "; last reading " in failure[0]
    assert failure[1].startswith("held then:")
    assert any(line.startswith("footprint ") for line in failure)


def test_it_holds_in_set_up_too(layers):
    ran = layers.run(
        HEAD
        + """
    @pytest.fixture
    def hungry(): run_away()

    @mark.memory_ceiling("10GiB")
    def test_it(hungry): pass
    """,
        "--layers-hard-limit=400MiB",
    )
    assert ran.outcomes == {"errors": 1}
    assert "during setup, " in ran.case("test_it").reason
    assert survival(ran, "test_it").text in AT_THE_LIMIT
    assert "died" in [word for row in ran.table for word in row], "it has a row of the table"


def test_the_whole_tree_counts_and_reserved_memory_does_not(layers):
    ran = layers.run(
        HEAD
        + """
    import mmap, os, time

    @mark.memory_ceiling("10GiB")
    def test_reserves():
        unreserved = 0x4000  # MAP_NORESERVE of mmap(2)
        room = mmap.mmap(-1, 10**10, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | unreserved)
        room[0] = 1

    @mark.memory_ceiling("10GiB")
    def test_forks():
        for _ in range(8):
            if os.fork() == 0:
                block = b"x" * (100 * 2**20)
                time.sleep(20)
        assert [os.wait()[1] for _ in range(8)] == [0] * 8
    """,
        "--layers-hard-limit=600MiB",
    )
    assert survival(ran, "test_reserves").outcome == "finished"
    assert survival(ran, "test_forks").outcome == "died"


def test_engines_are_told_of_that_much_memory(spilling):
    ran = spilling.run(
        """
        def test_it(engine, size): print("TOLD", engine.budget.memory_bytes, size)
        """,
        "--layers=fake",
        "--layers-hard-limit=400MiB",
        "--layers-sizes=0.5ram,200MiB",
        "-rP",
    )
    told = [line.split()[1:] for line in ran.lines if line.startswith("TOLD")]
    assert {memory for memory, _ in told} == {str(400 * 2**20)}
    assert len({size for _, size in told}) == 1, "half of it is 200 MiB"


def test_a_kept_engine_has_it_too(spilling):
    ran = spilling.run(
        HEAD
        + """
    def test_first(engine): pass
    def test_dies(engine): run_away()
    def test_last(engine): pass
    """,
        "--layers=far",
        "--layers-hard-limit=400MiB",
        "--layers-isolation=engine",
    )
    outcomes = [one.survival.outcome for one in ran.run.cases]
    assert outcomes == ["finished", "died", "finished"]


def test_an_xfail_may_expect_the_end(layers):
    ran = layers.run(
        HEAD
        + """
    @mark.memory_ceiling("10GiB")
    @mark.xfail(strict=True, reason="it needs more")
    def test_it(): run_away()
    """,
        "--layers-hard-limit=400MiB",
    )
    assert ran.outcomes == {"xfailed": 1}
    assert survival(ran, "test_it").outcome == "died"


def test_the_ini_file_sets_it_and_without_it_nothing_is_said(layers):
    text = HEAD + '    @mark.memory_ceiling("10GiB")\n    def test_it(): pass\n'
    assert survival(layers.run(text), "test_it") is None
    layers.write("pytest.ini", "[pytest]\nlayers_hard_limit = 1GiB\n")
    assert survival(layers.run(text), "test_it").limit_bytes == 2**30
