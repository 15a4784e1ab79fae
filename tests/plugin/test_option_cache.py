"""`--layers-cache-dir` and `--layers-cache-size`: where data sets are kept, and how many."""

import threading

from filelock import FileLock

TEXT = """
    def test_it(sales):
        print("PATH", sales.path)
"""


IN_PLACE = ("-p", "pytest_layers.plugin", "--layers-sizes=1k", "--layers-isolation=none")


def kept(folder):
    return sorted(path.parent.name.split("-")[1] for path in folder.glob("*/dataset.json"))


def test_data_is_made_in_the_folder_given_and_found_there_again(layers):
    folder = layers.path / "here"
    first = layers.run(TEXT, f"--layers-cache-dir={folder}", "--layers-sizes=1k", "-rP")
    made = {path: path.stat().st_mtime_ns for path in folder.glob("sales-1000-*/data.*")}
    again = layers.run(TEXT, f"--layers-cache-dir={folder}", "--layers-sizes=1k", "-rP")
    assert first.outcomes == again.outcomes == {"passed": 1}
    assert f"PATH {folder}" in again.out
    assert {path: path.stat().st_mtime_ns for path in made} == made != {}


def test_making_data_is_not_measured(layers):
    folder = layers.path / "here"
    ran = layers.run(TEXT, f"--layers-cache-dir={folder}", "--layers-sizes=200k")
    assert ran.case("test_it[200k]").measurement.wall_seconds < 0.2
    assert ran.case("test_it[200k]").measurement.base_bytes < 100 * 2**20


def test_ini_file_sets_the_folder(layers):
    layers.write("pytest.ini", f"[pytest]\nlayers_cache_dir = {layers.path}/there\n")
    layers.write("test_it.py", TEXT)
    layers.bare(*IN_PLACE, process=True, autoload=False)
    assert kept(layers.path / "there") == ["1000"]


def test_the_least_recently_used_goes_first_where_there_is_no_room(layers):
    folder = layers.path / "small"
    args = (f"--layers-cache-dir={folder}", "--layers-cache-size=1KB")
    layers.run(TEXT, *args, "--layers-sizes=1k,2k")
    assert kept(folder) == ["2000"]


def test_without_it_the_users_own_cache_folder_is_used(layers, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(layers.path / "xdg"))
    layers.write("test_it.py", TEXT)
    layers.bare(*IN_PLACE, process=True, autoload=False)
    assert kept(layers.path / "xdg" / "pytest-layers") == ["1000"]


def test_the_case_of_another_session_with_the_same_folder_is_waited_for(layers):
    lock = FileLock(layers.cache / "machine.lock", thread_local=False)

    def let_go():
        layers.write("let-go", "")
        lock.release()

    lock.acquire()
    threading.Timer(3, let_go).start()
    ran = layers.run(
        """
        from pathlib import Path

        def test_it(size):
            assert (Path(__file__).parent / "let-go").exists()
        """,
        "--layers-sizes=1k",
        process=True,
    )
    assert ran.outcomes == {"passed": 1}
    told = f"waiting for the case of another session that keeps its data in {layers.cache}"
    assert ran.lines.count(told) == 1


def test_cases_of_a_pytest_that_a_case_starts_take_turns_and_do_not_wait_for_that_case(layers):
    layers.write("within/pytest.ini", "[pytest]")
    layers.write(
        "within/test_within.py",
        """
        import time
        from pathlib import Path
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_within(size, number):
            alone = Path("alone")
            alone.touch(exist_ok=False)
            time.sleep(0.5)
            alone.unlink()
        """,
    )
    arguments = ["-m", "pytest", "-p", "xdist.plugin", "-p", "pytest_layers.plugin", "-n2"]
    arguments += ["--layers-sizes=1k", f"--layers-cache-dir={layers.cache}"]
    ran = layers.run(
        f"""
        import subprocess
        import sys

        def test_it(size):
            command = [sys.executable, *{arguments}]
            assert subprocess.run(command, cwd="within", timeout=60).returncode == 0
        """,
        "--layers-sizes=1k",
        "test_it.py",
        process=True,
    )
    assert ran.outcomes == {"passed": 1}
