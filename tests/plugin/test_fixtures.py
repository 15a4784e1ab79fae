"""What a test may ask for, and fixtures of the user's own with the same names."""

import pytest

from pytest_layers.datasets import sales as built_in


def test_engine_tells_what_it_is_and_does_its_three_things(layers):
    layers.engines()
    ran = layers.run(
        """
        import os
        import sys

        def test_it(engine, sales):
            assert (engine.name, engine.layer) == ("other", "classic")
            assert engine.cores == 1
            assert engine.namespace is sys.modules["pyarrow"]
            assert engine.session is None
            assert os.path.isdir(engine.budget.temp_dir)
            assert engine.collect(engine.scan(sales)).num_rows == 1000
            assert engine.read(sales).num_rows == 1000
        """,
        "--layers=other",
        "--layers-sizes=1k",
    )
    assert ran.outcomes == {"passed": 1}


def test_engine_is_started_and_stopped_once_for_each_test(layers):
    layers.engines(
        """
class Noted(Fake):
    name = "noted"

    def start(self, budget):
        super().start(budget)
        print("START")

    def stop(self):
        print("STOP")

def pytest_layers_engines():
    return [Noted]
"""
    )
    ran = layers.run(
        "def test_it(engine):\n    print('TEST')\n    assert 0", "--layers=noted", "-rP"
    )
    words = [line for line in ran.lines if line in {"START", "TEST", "STOP"}]
    assert words == ["START", "TEST", "STOP"]


def test_size_is_rows(layers):
    ran = layers.run(
        """
        def test_it(size):
            print("ROWS", size)
        """,
        "--layers-sizes=1_500,1MiB",
        "-rP",
    )
    rows = [int(line.split()[1]) for line in ran.lines if line.startswith("ROWS")]
    assert rows == [1500, pytest.approx(2**20 / built_in.BYTES_PER_ROW, abs=1)]


def test_sales_products_and_own_data_are_data_sets(layers):
    layers.engines()
    ran = layers.run(
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        def orders(rows):
            yield pa.record_batch({"x": range(rows)})

        def test_built_in(sales, products, size):
            assert (sales.name, sales.format, sales.rows) == ("sales", "parquet", size)
            assert sales.products == 1000
            assert pq.read_table(sales.path).num_rows == size
            assert (products.name, products.rows) == ("products", 1000)

        def test_made(dataset, size):
            made = dataset("orders", orders, rows=size)
            assert (made.name, made.rows, made.arrow_bytes) == ("orders", 1000, 8000)
            assert pq.read_table(made.path)["x"].to_pylist() == list(range(1000))

        def test_existing(dataset, tmp_path):
            path = tmp_path / "mine.parquet"
            pq.write_table(pa.table({"x": [1, 2, 3]}), path)
            made = dataset(path)
            assert (made.path, made.rows) == (str(path), 3)
        """,
        "--layers-sizes=1k",
    )
    assert ran.outcomes == {"passed": 3}
    assert ran.case("test_made[1k]").data_bytes == 8000
    assert ran.case("test_existing").case.size is None


@pytest.mark.parametrize("isolation", ["case", "none"])
def test_data_that_is_asked_for_twice_counts_once(layers, isolation):
    layers.engines()
    ran = layers.run(
        """
        import pyarrow as pa

        def orders(rows):
            yield pa.record_batch({"x": range(rows)})

        def test_twice(dataset):
            made = [dataset("orders", orders, rows=1000) for _ in range(2)]
            assert made[0] == made[1]

        def test_two(dataset):
            dataset("orders", orders, rows=1000)
            dataset("orders", orders, rows=500)
        """,
        f"--layers-isolation={isolation}",
    )
    assert ran.outcomes == {"passed": 2}
    twice, two = ran.case("test_twice"), ran.case("test_two")
    assert (twice.rows, twice.data_bytes) == (1000, 8000)
    assert (two.rows, two.data_bytes) == (1000, 12000)


def test_measured_narrows_the_window(layers):
    ran = layers.run(
        """
        import time

        def test_it(measured):
            time.sleep(0.3)
            with measured:
                time.sleep(0.1)
            time.sleep(0.3)

        def test_failing(measured):
            with measured:
                assert 1 == 2
        """
    )
    assert 0.1 <= ran.case("test_it").measurement.wall_seconds < 0.25
    assert ran.case("test_failing").measurement is not None
    assert ran.case("test_failing").reason == "assert 1 == 2"


def test_setup_and_teardown_are_not_in_the_window(layers):
    ran = layers.run(
        """
        import time
        import pytest

        @pytest.fixture
        def slow():
            time.sleep(0.3)
            yield
            time.sleep(0.3)

        @pytest.mark.memory_ceiling("1GiB")
        def test_it(slow): pass
        """
    )
    assert ran.case("test_it").measurement.wall_seconds < 0.2


@pytest.mark.parametrize("name", ["engine", "size", "sales", "products", "dataset", "measured"])
def test_a_fixture_of_the_users_own_is_not_touched(layers, name):
    layers.write(
        "conftest.py",
        f"""
        import pytest

        @pytest.fixture(params=["sqlite", "postgres"])
        def {name}(request):
            return request.param
        """,
    )
    ran = layers.run(f"def test_it({name}):\n    assert {name} in ('sqlite', 'postgres')", "-v")
    assert "test_it.py::test_it[sqlite] PASSED" in ran.out
    assert ran.outcomes == {"passed": 2}
    assert ran.cases == {}


def test_a_session_wide_fixture_of_the_users_own_is_not_touched(layers):
    ran = layers.run(
        """
        import pytest

        made = []

        @pytest.fixture(scope="session")
        def engine():
            made.append(1)
            return "create_engine('sqlite://')"

        def test_a(engine): assert made == [1]

        def test_b(engine): assert made == [1]
        """,
        "--layers=all",
    )
    assert ran.outcomes == {"passed": 2}
    assert ran.cases == {}


def test_a_parameter_of_the_users_own_is_not_touched(layers):
    ran = layers.run(
        """
        import pytest

        @pytest.mark.parametrize("engine", ["a", "b"])
        @pytest.mark.parametrize("size", [1, 2])
        def test_it(engine, size):
            assert engine in "ab" and size in (1, 2)
        """
    )
    assert ran.outcomes == {"passed": 4}
    assert ran.cases == {}


def test_an_engine_of_the_users_own_may_have_limits(layers):
    ran = layers.run(
        """
        import pytest

        @pytest.fixture
        def engine():
            return "sqlite"

        @pytest.mark.memory_ceiling("1GiB")
        def test_it(engine):
            assert engine == "sqlite"
        """
    )
    assert ran.case("test_it").case.engine is None
    assert ran.verdict("test_it").outcome == "passed"


def test_a_fixture_may_stand_on_ours(layers):
    layers.engines()
    ran = layers.run(
        """
        import pytest

        @pytest.fixture
        def frame(engine, sales):
            return engine.read(sales)

        @pytest.mark.memory_ceiling("3x + 1GiB", other="1x + 1GiB")
        def test_it(frame):
            assert frame.num_rows == 1000
        """,
        "--layers=fake",
        "--layers-sizes=1k",
    )
    assert ran.outcomes == {"passed": 1}
    assert ran.case("test_it[fake-1k]").rows == 1000


def test_what_is_no_argument_can_not_be_had_later(layers):
    ran = layers.run(
        """
        import pytest

        @pytest.mark.parametrize("name", ["engine", "size", "sales", "products", "dataset", "measured"])
        def test_plain(request, name):
            request.getfixturevalue(name)

        @pytest.mark.memory_ceiling("1GiB")
        @pytest.mark.parametrize("name", ["sales", "measured"])
        def test_case(request, name):
            request.getfixturevalue(name)
        """
    )
    why = "has to be an argument of the test or of its fixtures: it can't be had by getfixturevalue"
    said = {line[1:].strip() for line in ran.lines if line.startswith("E ")}
    assert ran.outcomes == {"failed": 8}
    assert said == {
        f"pytest_layers.errors.LayersError: {name} {why}"
        for name in ("engine", "size", "products or dataset", "measured")
    }


def test_fixtures_are_explained(layers):
    ran = layers.bare("--fixtures", "-p", "pytest_layers.plugin", autoload=False)
    said = " ".join(ran.out.split())
    for name in ("engine", "size", "sales", "products", "dataset", "measured"):
        assert f"{name} -- " in said
    assert "_layers_store -- " not in said
