import os
import signal
import time

import psutil
import pyarrow as pa
import pytest

from pytest_layers.measure import procfs
from pytest_layers.records import Budget
from pytest_layers.testing import EngineContract

pytestmark = pytest.mark.real

SECONDS_TO_FINISH = 90
SECONDS_TO_STOP = 15


class TestDask(EngineContract):
    engine_name = "dask"

    def filter_region(self, engine, sales, region):
        return sales[sales["region"] == region]

    def sum_amount(self, engine, sales):
        return sales[["amount"]].sum().to_frame("amount")

    def group_by_product(self, engine, sales):
        return sales.groupby("product").agg(amount=("amount", "sum"), orders=("amount", "size"))

    def join_products(self, engine, sales, products):
        joined = sales[["product", "amount"]].merge(products[["product", "category"]])
        return joined.groupby("category")["amount"].sum()

    def sort_by_amount(self, engine, sales):
        return sales.sort_values(["amount", "order_id"], ascending=[False, True])[["order_id"]]

    def top_k(self, engine, sales, k):
        return sales.nlargest(k, "amount")[["order_id", "amount"]]

    def cores_seen(self, engine):
        return sum(engine.session.nthreads().values())


@pytest.mark.layers("dask")
@pytest.mark.sizes("400k")
class TestFrames:
    def test_a_partition_for_each_row_group(self, engine, sales):
        assert engine.scan(sales).npartitions == 4

    def test_read_is_held_by_the_workers(self, engine, sales):
        frame = engine.read(sales)
        held = engine.session.run(lambda dask_worker: len(dask_worker.data))
        assert sum(held.values()) == frame.npartitions

    def test_collect_takes_what_is_not_a_frame(self, engine, sales):
        frame = engine.scan(sales)
        assert engine.collect(frame["quantity"].count()).to_pydict() == {"value": [400_000]}
        assert engine.collect(frame["order_id"].min().to_delayed()).to_pydict() == {"value": [0]}
        assert isinstance(engine.collect(frame["amount"]), pa.Table)

    def test_tells_what_workers_hold(self, engine, sales):
        engine.begin_window()
        frame = engine.read(sales)
        assert engine.end_window()["held_bytes"] > 0.5 * sales.arrow_bytes
        del frame

    def test_a_shuffle_is_no_spill(self, engine, sales):
        frame = engine.scan(sales).shuffle("customer")
        engine.begin_window()
        engine.collect(frame.map_partitions(len))
        counted = engine.end_window()
        assert counted["shuffle_bytes"] > 400_000 * 40
        assert counted["spilled_bytes"] == 0


@pytest.mark.layers("dask", "modin-dask")
class TestCluster:
    def test_listens_on_loopback_alone(self, engine, open_sockets):
        waiting = (psutil.CONN_LISTEN, psutil.CONN_NONE)
        sockets = [socket for socket in open_sockets() if socket.status in waiting]
        assert sockets
        assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}

    def test_work_survives_a_killed_worker(self, engine):
        from distributed import wait

        futures = engine.session.map(lambda number: time.sleep(0.5), range(6), pure=False)
        os.kill(next(iter(engine.session.run(os.getpid).values())), signal.SIGKILL)
        wait(futures, timeout=SECONDS_TO_FINISH)
        assert seconds_to_stop(engine) < SECONDS_TO_STOP

    def test_comes_to_rest_before_the_window(self, engine):
        def litter():
            time.sleep(0.5)
            loop = [bytearray(b"x") * 200_000_000]
            loop.append(loop)  # what only the garbage collector frees

        held = engine.session.submit(litter, pure=False)
        engine.begin_window()
        assert held.result(timeout=1) is None
        assert max(one.memory_info().rss for one in workers()) < 300_000_000

    def test_work_that_kills_workers_is_an_error(self, engine):
        from distributed.scheduler import KilledWorker

        future = engine.session.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
        assert isinstance(future.exception(timeout=SECONDS_TO_FINISH), KilledWorker)
        assert seconds_to_stop(engine) < SECONDS_TO_STOP

    def test_a_worker_that_does_not_come_up_again_is_no_hindrance(self, engine):
        before = workers()
        os.kill(next(iter(engine.session.run(os.getpid).values())), signal.SIGKILL)
        while not (again := set(workers()).difference(before)):
            time.sleep(0.01)
        again.pop().suspend()
        assert seconds_to_stop(engine) < SECONDS_TO_STOP


def seconds_to_stop(engine):
    begun = time.monotonic()
    engine.stop()
    assert psutil.wait_procs(workers(), timeout=SECONDS_TO_STOP)[1] == []
    return time.monotonic() - begun


def workers():
    """Whatever was started, but for the helper that ends with this process after workers were killed."""
    started = psutil.Process().children()
    return [one for one in started if "resource_tracker" not in procfs.command_line(one.pid)]


@pytest.mark.layers("dask")
def test_counts_what_is_spilled(engine, tmp_path):
    from distributed import wait

    engine.stop()
    engine.start(Budget(cores=1, memory_bytes=1_000_000_000, temp_dir=str(tmp_path)))
    engine.begin_window()
    held = [engine.session.submit(bytes, 50_000_000 + number) for number in range(16)]
    wait(held, timeout=SECONDS_TO_FINISH)
    assert engine.end_window()["spilled_bytes"] > 0
