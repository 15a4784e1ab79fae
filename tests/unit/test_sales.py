import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pytest_layers.datasets import sales


def table(rows, **options):
    return pa.Table.from_batches(sales.batches(rows, **options))


@pytest.fixture(scope="module")
def many():
    return table(50_000)


def counts(column):
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def test_the_same_seed_gives_the_same_rows():
    assert table(3_000, seed=7).equals(table(3_000, seed=7))


def test_another_seed_gives_other_rows():
    for name in ("product", "region", "customer", "quantity", "amount", "note"):
        assert table(3_000, seed=1)[name] != table(3_000, seed=2)[name]


def test_a_negative_seed_is_a_seed():
    assert table(10, seed=-1) != table(10, seed=1)


@pytest.mark.parametrize("batch_rows", [7, 777, 5_000, 100_000])
def test_a_size_is_a_prefix_of_a_larger_one_whatever_the_batches(many, batch_rows):
    assert table(5_000, batch_rows=batch_rows).equals(many.slice(0, 5_000))


def test_batches_are_of_the_asked_size_but_the_last():
    assert [batch.num_rows for batch in sales.batches(25, batch_rows=10)] == [10, 10, 5]


def test_rows_follow_the_schema(many):
    assert many.schema.equals(sales.SALES_SCHEMA)


def test_order_id_is_the_row_number(many):
    assert many["order_id"].to_pylist() == list(range(50_000))


def test_time_rises(many):
    ts = many["ts"].cast(pa.int64()).to_numpy()
    assert (ts[1:] > ts[:-1]).all()


@pytest.mark.parametrize("rows", [1, 999, 1_000, 1_001, 20_000])
def test_the_number_of_distinct_products_is_known(many, rows):
    found = pc.count_distinct(many["product"].slice(0, rows)).as_py()
    assert found == sales.distinct_products(rows)


def test_a_few_products_sell_most(many):
    sold = sorted(counts(many["product"]).values(), reverse=True)
    assert sum(sold[:100]) > 0.4 * len(many)
    assert sold[0] > 50 * sold[-1]


def test_regions_are_uneven_and_all_there(many):
    sold = counts(many["region"])
    assert set(sold) == set(sales.REGIONS)
    assert max(sold.values()) > 3 * min(sold.values())


def test_customers_are_many(many):
    assert pc.count_distinct(many["customer"]).as_py() > 45_000
    assert pc.max(many["customer"]).as_py() < sales.CUSTOMERS


def test_quantities_are_one_to_ten(many):
    assert set(counts(many["quantity"])) == set(range(1, 11))


def test_only_notes_are_null_and_a_fifth_of_them(many):
    nulls = {name: many[name].null_count for name in many.column_names}
    assert 0.18 < nulls.pop("note") / len(many) < 0.22
    assert not any(nulls.values())


def test_notes_are_of_varied_length_and_mostly_distinct(many):
    notes = many["note"].drop_null()
    lengths = pc.utf8_length(notes)
    assert pc.min(lengths).as_py() <= 14
    assert 36 <= pc.max(lengths).as_py() <= 40
    assert pc.count_distinct(notes).as_py() > 0.99 * len(notes)


def test_amount_is_quantity_times_the_price_of_the_product_in_whole_cents(many):
    cents = pc.multiply(many["amount"], 100).to_numpy().round().astype(int)
    assert (cents / 100 == many["amount"].to_numpy()).all()
    price = pa.array(cents // many["quantity"].to_numpy())
    prices = pa.table({"product": many["product"], "price": price}).group_by("product")
    assert set(
        prices.aggregate([("price", "count_distinct")])["price_count_distinct"].to_pylist()
    ) == {1}


def test_bytes_per_row_is_true_within_two_percent(many):
    found = sum(batch.nbytes for batch in sales.batches(50_000)) / 50_000
    assert found == pytest.approx(sales.BYTES_PER_ROW, rel=0.02)


def test_products_name_each_product_once(many):
    (batch,) = sales.product_batches()
    assert batch.schema.equals(sales.PRODUCTS_SCHEMA)
    assert set(batch["product"].to_pylist()) == set(many["product"].unique().to_pylist())
    assert batch.num_rows == sales.PRODUCTS


def test_products_cost_less_than_they_sell_for(many):
    (batch,) = sales.product_batches()
    cost = dict(zip(batch["product"].to_pylist(), batch["unit_cost"].to_pylist(), strict=True))
    for row in many.slice(0, 1_000).to_pylist():
        assert 0 < cost[row["product"]] < row["amount"] / row["quantity"]
