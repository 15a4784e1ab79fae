import contextlib
import ipaddress
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_layers.engines import _ray
from pytest_layers.engines.modin_ray import ModinRay
from pytest_layers.engines.ray import Ray
from pytest_layers.errors import LayersError
from pytest_layers.records import Budget
from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real

GIB = 1 << 30
SECONDS_TO_STOP = 15
SECONDS_TO_MEET = 120


class TestRay(EngineContract):
    engine_name = "ray"

    def filter_region(self, engine, sales, region):
        from ray.data.expressions import col

        return sales.filter(expr=col("region") == region)

    def sum_amount(self, engine, sales):
        return pa.table({"amount": [sales.sum("amount")]})

    def group_by_product(self, engine, sales):
        from ray.data.aggregate import Count, Sum

        columns = sales.select_columns(["product", "amount"])
        return columns.groupby("product").aggregate(
            Sum("amount", alias_name="amount"), Count(alias_name="orders")
        )

    def join_products(self, engine, sales, products):
        joined = sales.select_columns(["product", "amount"]).join(
            products.select_columns(["product", "category"]),
            join_type="inner",
            num_partitions=engine.cores,
            on=("product",),
        )
        totals = joined.groupby("category").sum("amount")
        return totals.rename_columns({"sum(amount)": "amount"})

    def sort_by_amount(self, engine, sales):
        columns = sales.select_columns(["amount", "order_id"])
        ordered = columns.sort(["amount", "order_id"], descending=[True, False])
        return ordered.select_columns(["order_id"])

    def top_k(self, engine, sales, k):
        columns = sales.select_columns(["order_id", "amount"])
        return columns.sort("amount", descending=True).limit(k)

    def cores_seen(self, engine):
        return int(engine.namespace.cluster_resources()["CPU"])

    def test_leaves_no_token_at_home(self, engine):
        token = Path.home() / ".ray" / "auth_token"
        assert engine.namespace.is_initialized()
        assert not token.exists() or token.stat().st_mtime < psutil.Process().create_time()


def footer_readers():
    """Processes of Ray Data for the footers of files; older ones have none."""
    tree = psutil.Process().children(recursive=True)
    return {one.pid for one in tree if name_of(one).startswith("ray::Footer")}


# Ray takes its time to start: few tests, of several things each.
@pytest.mark.layers("ray")
@pytest.mark.sizes("400k")
class TestRayAlone:
    def test_tasks_and_actors(self, engine, sales):
        ray = engine.namespace

        def total(path, group):
            rows = pq.ParquetFile(path).read_row_group(group, columns=["region", "quantity"])
            return rows.group_by("region").aggregate([("quantity", "sum")])

        class Counter:
            def __init__(self):
                self.count = 0

            def add(self, number):
                self.count += number
                return self.count

        task = ray.remote(total)
        groups = range(pq.ParquetFile(sales.path).num_row_groups)
        rows = engine.collect([task.remote(sales.path, group) for group in groups])
        assert rows.num_rows == len(groups) * 5
        assert engine.collect(task.remote(sales.path, 0)).num_rows == 5
        counter = ray.remote(Counter).remote()
        assert ray.get([counter.add.remote(number) for number in (1, 2, 3)]) == [1, 3, 6]

    def test_where_there_are_no_rows_there_are_columns(self, engine, sales):
        from ray.data.expressions import col

        none = (
            engine.scan(sales).select_columns(["region", "amount"]).filter(expr=col("amount") < 0)
        )
        for frame in (none, none.sort("amount")):
            found = engine.collect(frame)
            assert (found.num_rows, found.column_names) == (0, ["region", "amount"])
        assert (
            engine.collect(none.map_batches(lambda batch: batch)).num_rows == 0
        )  # Ray knows no more

    def test_a_block_may_be_all_nulls(self, engine):
        make = engine.namespace.data.from_items
        mixed = make([{"note": None}, {"note": "gift"}], override_num_blocks=2)
        assert engine.collect(mixed).to_pydict() == {"note": [None, "gift"]}

    def test_idle_workers_stay(self, engine, tmp_path):
        ray, count = engine.namespace, 2 * engine.cores

        def meet():
            (tmp_path / str(os.getpid())).touch()
            while len(list(tmp_path.iterdir())) < count:
                time.sleep(0.05)
            return os.getpid()

        task = ray.remote(num_cpus=0)(meet)
        workers = set(ray.get([task.remote() for _ in range(count)], timeout=SECONDS_TO_MEET))
        assert len(workers) == count
        time.sleep(3)  # Ray looks at idle ones every now and then
        assert all(psutil.pid_exists(pid) for pid in workers)

    def test_no_more_processes_than_cores_read_footers(self, engine, sales):
        before = footer_readers()
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(engine.collect, engine.scan(sales))
            found = set()
            while not reading.done():
                found |= footer_readers()
                time.sleep(0.02)
        assert reading.result().num_rows == sales.rows
        assert len(found - before) <= engine.cores

    def test_store_and_spill(self, engine, sales):
        ray = engine.namespace
        assert engine.scan(sales).sort("amount").materialize().num_blocks() <= 2 * engine.cores
        block = bytes(int(ray.cluster_resources()["object_store_memory"] // 8))
        held = [ray.put(block)]
        deadline = time.monotonic() + 5  # Ray reports what it holds every now and then
        while engine.end_window()["object_store_bytes"] < len(block):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        held += [ray.put(block) for _ in range(11)]
        spill = Path(engine.session.address_info["session_dir"]).with_name("spill")
        written = sum(file.stat().st_size for file in spill.rglob("*") if file.is_file())
        assert written >= len(block)
        assert len(held) == 12


@pytest.mark.layers("ray", "modin-ray")
def test_listens_on_loopback_alone_and_stops_whole(engine, open_sockets):
    this = psutil.Process()
    tree = this.children(recursive=True)
    names = {name_of(process) for process in tree}
    assert {"raylet", "gcs_server"} <= names
    listening = [one.laddr.ip for one in open_sockets() if one.status == psutil.CONN_LISTEN]
    assert listening
    assert [ip for ip in listening if not is_loopback(ip)] == []
    engine.stop()
    assert [process for process in tree if process.is_running()] == []
    assert not any("plasma" in region.path for region in this.memory_maps())


@pytest.mark.layers("modin-ray")
def test_stop_after_the_raylet_died(engine):
    tree = psutil.Process().children(recursive=True)
    raylet = next(process for process in tree if name_of(process) == "raylet")
    raylet.kill()
    raylet.wait(5)
    engine.stop()
    assert psutil.wait_procs(tree, timeout=SECONDS_TO_STOP)[1] == []


def test_the_store_follows_the_budget():
    assert _ray.store_bytes(budget(memory_bytes=1 * GIB)) == 80 << 20
    assert _ray.store_bytes(budget(memory_bytes=8 * GIB)) == 8 * GIB // 20
    assert _ray.store_bytes(budget(memory_bytes=64 * GIB)) == GIB
    assert _ray.store_bytes(budget(memory_bytes=64 * GIB, store_bytes=3 * GIB)) == 3 * GIB


def test_a_long_temp_folder_is_refused():
    with pytest.raises(LayersError, match="set TMPDIR to a shorter one"):
        _ray.start(budget(temp_dir="/tmp/" + "x" * 60))


def test_a_store_that_shared_memory_can_not_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_ray, "_SHARED_FOLDER", tmp_path)
    with pytest.raises(LayersError, match=r"does not fit into .*--shm-size.*--layers-ray-store"):
        _ray.start(budget(temp_dir="/tmp", store_bytes=1 << 60))


@pytest.mark.parametrize("engine", [Ray, ModinRay])
def test_a_container_without_room_for_the_smallest_store_can_not_run_it(engine, monkeypatch):
    monkeypatch.setattr(engine, "modules", ("json",))
    assert engine.obstacle() is None
    shared = SimpleNamespace(total=64 << 20, free=64 << 20)
    monkeypatch.setattr(_ray.shutil, "disk_usage", lambda folder: shared)
    assert engine.obstacle() == (
        f"{engine.name} needs 80.0 MiB of shared memory for its objects; /dev/shm has 64.0 MiB"
    )
    assert engine.mend() == "in a container, give it more (docker run --shm-size=2g)"
    monkeypatch.setattr(engine, "modules", ("no_such_ray",))
    assert engine.obstacle() == f"{engine.name} is not installed (no_such_ray)"
    assert engine.mend() == engine.install


def budget(**given):
    return Budget(**{"cores": 2, "memory_bytes": GIB, "temp_dir": "/tmp", **given})


def name_of(process):
    """Its name; empty where it has ended, as idle actors of Ray Data do."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def is_loopback(ip):
    """Also of an IPv4 address that an IPv6 socket listens on."""
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
