"""Ray: tasks and Ray Data.

What workers run is nested in functions, so that they get its code: this folder is not on their path.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from twins import ceiling, floor, sizes, twins

pytestmark = pytest.mark.layers("ray")

BLOCKS = 8


def north(sales):
    def shrink(rows):
        total = pc.sum(rows.filter(pc.field("region") == "north")["amount"]).as_py()
        return pa.table({"amount": [total or 0.0]})

    return _total(sales.select_columns(["region", "amount"]), shrink)


def _total(sales, shrink):
    """The sum of what `shrink` makes of each block."""
    import ray

    shrunk = sales.map_batches(shrink, batch_size=None, batch_format="pyarrow")
    parts = [part for part in ray.get(shrunk.to_arrow_refs()) if part.num_columns]
    return pc.sum(pa.concat_tables(parts)["amount"]).as_py()


def fetch_first(sales):
    """Fetches all columns into one process, and filters there."""
    import ray

    frame = pa.concat_tables(ray.get(sales.to_arrow_refs())).to_pandas()
    return float(frame.loc[frame["region"] == "north", "amount"].sum())


test_fetch_first = twins(north, fetch_first, sizes("4M"), ceiling("1x + 400MiB"))


def captured(sales):
    """Sends a table of all sales along with the function, to each task anew."""
    import ray

    known = pa.concat_tables(ray.get(sales.to_arrow_refs()))

    def shrink(rows):
        listed = pc.is_in(rows["product"], known["product"].combine_chunks())
        found = rows.filter(pc.and_(listed, pc.equal(rows["region"], "north")))
        return pa.table({"amount": [pc.sum(found["amount"]).as_py() or 0.0]})

    return _total(sales, shrink)


test_captured = twins(north, captured, sizes("4M"), ceiling("1x + 400MiB"))


def in_blocks(sales):
    return sales.select_columns(["note", "amount"]).repartition(BLOCKS).to_arrow_refs()


def _task():
    import ray

    def urgent(rows):
        pairs = zip(rows["note"].to_pylist(), rows["amount"].to_pylist(), strict=True)
        return sum(
            amount for note, amount in pairs if note and ("urgent" in note or "by noon" in note)
        )

    return ray.remote(urgent)


def all_at_once(sales):
    import ray

    task = _task()
    return sum(ray.get([task.remote(block) for block in sales]))


def get_in_a_loop(sales):
    """Waits for each task before it starts the next one."""
    import ray

    task = _task()
    return sum(ray.get(task.remote(block)) for block in sales)


test_get_in_a_loop = twins(all_at_once, get_in_a_loop, sizes("4M"), floor("85%"), ready=in_blocks)
