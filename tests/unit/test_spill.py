from pytest_layers.measure.spill import Spill


def write(folder, name, size):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_counts_the_most_that_was_there_beyond_what_was_there_at_the_beginning(tmp_path):
    write(tmp_path, "old", 2**20)
    spill = Spill(str(tmp_path))
    spill.begin()
    gone = write(tmp_path, "deep/new", 3 * 2**20)
    spill.read()
    gone.unlink()
    spill.read()
    assert spill.peak_bytes == 3 * 2**20
    spill.begin()
    spill.read()
    assert spill.peak_bytes == 0


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    spill = Spill(str(tmp_path / "none"))
    spill.begin()
    spill.read()
    assert spill.peak_bytes == 0
