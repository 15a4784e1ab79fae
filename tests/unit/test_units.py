import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_layers.units import (
    Amount,
    Cores,
    Size,
    format_bytes,
    format_rows,
    format_seconds,
    parse_amount,
    parse_bytes,
    parse_cores,
    parse_rows,
    parse_seconds,
    parse_size,
    parse_sizes,
    parse_speedup,
)

NOT_A_NUMBER = ["", " ", "MiB", "-1", "1e6", "1,5", "inf", "nan", "1..5", "1 2", "9" * 400]


class TestBytes:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("0B", 0),
            ("1B", 1),
            ("1KB", 1000),
            ("1KiB", 1024),
            ("20GB", 20 * 10**9),
            ("1.5GiB", 3 * 2**29),
            ("512 MiB", 2**29),
            ("1_000 MB", 10**9),
            (".5KiB", 512),
            ("2TB", 2 * 10**12),
            ("2TiB", 2**41),
        ],
    )
    def test_a_size_is_read(self, text, count):
        assert parse_bytes(text) == count

    @pytest.mark.parametrize("text", [*NOT_A_NUMBER, "1", "1x", "1 parsec"])
    def test_anything_else_is_refused_with_what_is_accepted(self, text):
        with pytest.raises(ValueError, match=r"is not a memory size.*write 512MiB"):
            parse_bytes(text)

    @pytest.mark.parametrize(
        ("text", "meant"), [("1mib", "MiB"), ("1M", "MB"), ("1Gb", "GB"), ("2ki", "KiB")]
    )
    def test_a_unit_that_is_nearly_right_is_guessed(self, text, meant):
        with pytest.raises(ValueError, match=f"did you mean {meant}"):
            parse_bytes(text)


class TestRows:
    @pytest.mark.parametrize(
        ("text", "rows"),
        [("1", 1), ("10_000", 10_000), ("10k", 10_000), ("1M", 10**6), ("2G", 2 * 10**9)],
    )
    def test_a_row_count_is_read(self, text, rows):
        assert parse_rows(text) == rows

    @pytest.mark.parametrize(
        ("text", "rows"), [("2.3M", 2_300_000), ("1.001k", 1001), ("0.5k", 500)]
    )
    def test_a_fraction_of_a_unit_is_exact(self, text, rows):
        assert parse_rows(text) == rows

    @pytest.mark.parametrize("text", ["0", "0.5", "1.5", "1.0001k"])
    def test_it_is_whole_and_above_zero(self, text):
        with pytest.raises(ValueError, match="is not a whole number of rows above zero"):
            parse_rows(text)

    @pytest.mark.parametrize("text", [*NOT_A_NUMBER, "1m", "1MiB", "1K"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ValueError, match="is not a row count"):
            parse_rows(text)


class TestSeconds:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("90", 90), ("90s", 90), ("250ms", 0.25), ("5min", 300), ("1h", 3600), ("1.5 h", 5400)],
    )
    def test_a_time_is_read(self, text, seconds):
        assert parse_seconds(text) == pytest.approx(seconds)

    @pytest.mark.parametrize("text", [*NOT_A_NUMBER, "0", "0s", "1d", "1m"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ValueError, match="is not a time above zero"):
            parse_seconds(text)


class TestAmount:
    @pytest.mark.parametrize(
        ("given_", "amount"),
        [
            (0, Amount()),
            (1000, Amount(fixed_bytes=1000)),
            ("512MiB", Amount(fixed_bytes=2**29)),
            ("2.5x", Amount(times_data=2.5)),
            ("40B/row", Amount(bytes_per_row=40)),
            ("1KiB/row", Amount(bytes_per_row=1024)),
            ("25%ram", Amount(ram_share=0.25)),
            ("0.5x + 150MiB", Amount(times_data=0.5, fixed_bytes=150 * 2**20)),
            ("1KiB+1KiB", Amount(fixed_bytes=2048)),
        ],
    )
    def test_a_limit_is_read(self, given_, amount):
        assert parse_amount(given_) == amount

    @pytest.mark.parametrize(
        "given_", [*NOT_A_NUMBER, -1, True, 1.5, None, "5", "5%", "1x +", "1x - 1MiB", "1/row"]
    )
    def test_anything_else_is_refused(self, given_):
        with pytest.raises(ValueError, match=r"is not a memory size.*write a sum of terms"):
            parse_amount(given_)

    def test_the_wrong_term_of_a_sum_is_named(self):
        with pytest.raises(ValueError, match=r"'150mib' is not a memory size; did you mean MiB\?"):
            parse_amount("2x + 150mib")

    def test_its_terms_are_resolved_for_one_case(self):
        amount = parse_amount("2x + 10B/row + 50%ram + 1KiB")
        assert amount.resolve(data_bytes=1000, rows=7, ram_bytes=300) == 2000 + 70 + 150 + 1024

    @pytest.mark.parametrize(
        ("text", "needs"), [("1x", True), ("1B/row", True), ("1B", False), ("1%ram", False)]
    )
    def test_terms_by_data_need_data(self, text, needs):
        assert parse_amount(text).needs_data is needs

    def test_nothing_is_written_as_no_bytes(self):
        assert str(Amount()) == "0 B"

    @given(
        st.builds(
            Amount,
            fixed_bytes=st.integers(0, 1023) | st.integers(1, 99).map(lambda n: n * 2**20),
            times_data=st.integers(0, 4000).map(lambda n: n / 8),
            bytes_per_row=st.integers(0, 9999).map(float),
            ram_share=st.integers(0, 100).map(lambda n: n / 100),
        )
    )
    def test_what_is_written_is_read_as_the_same(self, amount):
        again = parse_amount(str(amount))
        assert again.fixed_bytes == amount.fixed_bytes
        assert again.times_data == amount.times_data
        assert again.bytes_per_row == amount.bytes_per_row
        assert math.isclose(again.ram_share, amount.ram_share)


class TestCores:
    @pytest.mark.parametrize(
        ("given_", "cores"),
        [
            (1, Cores(number=1)),
            (1.5, Cores(number=1.5)),
            ("1.5", Cores(number=1.5)),
            ("60%", Cores(share=0.6)),
            ("100%", Cores(share=1)),
        ],
    )
    def test_a_floor_is_read(self, given_, cores):
        assert parse_cores(given_) == cores

    @pytest.mark.parametrize(
        "given_", [*NOT_A_NUMBER, 0, "0%", True, None, float("inf"), float("nan"), "2 cores"]
    )
    def test_anything_else_is_refused(self, given_):
        with pytest.raises(ValueError, match="is not a number of cores"):
            parse_cores(given_)

    def test_more_than_all_cores_is_refused(self):
        with pytest.raises(ValueError, match="'101%' is more than all cores given"):
            parse_cores("101%")

    def test_a_share_is_of_the_cores_given(self):
        assert parse_cores("60%").resolve(8) == pytest.approx(4.8)

    def test_a_number_is_what_it_is(self):
        assert parse_cores("1.5").resolve(8) == 1.5

    @given(st.integers(1, 400).map(lambda n: n / 4) | st.integers(1, 100).map(lambda n: f"{n}%"))
    def test_what_is_written_is_read_as_the_same(self, given_):
        cores = parse_cores(given_)
        assert parse_cores(str(cores)) == cores


class TestSpeedup:
    @pytest.mark.parametrize(
        ("given_", "factor"),
        [(1, Cores(number=1)), ("1.5", Cores(number=1.5)), ("75%", Cores(share=0.75))],
    )
    def test_a_floor_is_read(self, given_, factor):
        assert parse_speedup(given_) == factor

    @pytest.mark.parametrize("given_", [*NOT_A_NUMBER, 0, 0.99, "0%", True, None, "2x"])
    def test_anything_else_is_refused(self, given_):
        with pytest.raises(ValueError, match="is not a speed-up"):
            parse_speedup(given_)

    def test_more_than_all_cores_is_refused(self):
        with pytest.raises(ValueError, match="'101%' is more than all cores given"):
            parse_speedup("101%")


class TestSize:
    @pytest.mark.parametrize(
        ("given_", "size"),
        [
            (1_000_000, Size("1M", rows=10**6)),
            ("1M", Size("1M", rows=10**6)),
            ("1000k", Size("1M", rows=10**6)),
            ("2GiB", Size("2GiB", arrow_bytes=2**31)),
            ("2 GiB", Size("2GiB", arrow_bytes=2**31)),
            ("0.5ram", Size("0.5ram", ram_share=0.5)),
        ],
    )
    def test_a_size_is_read_and_named(self, given_, size):
        assert parse_size(given_) == size

    @pytest.mark.parametrize("given_", [*NOT_A_NUMBER, 0, "0GiB", True, None, "5x", "5%"])
    def test_anything_else_is_refused(self, given_):
        with pytest.raises(ValueError, match="is not a size"):
            parse_size(given_)

    def test_none_is_named_twice(self):
        with pytest.raises(ValueError, match="1M is named twice"):
            parse_sizes(["1M", 10, 1_000_000])

    def test_several_keep_their_order(self):
        assert [size.name for size in parse_sizes(["1M", "10k"])] == ["1M", "10k"]

    def test_rows_are_rows(self):
        assert parse_size("10k").resolve_rows(bytes_per_row=40, ram_bytes=0) == 10_000

    def test_bytes_are_divided_by_those_of_a_row(self):
        assert parse_size("4KB").resolve_rows(bytes_per_row=40, ram_bytes=0) == 100

    def test_a_share_is_of_the_memory(self):
        assert parse_size("0.5ram").resolve_rows(bytes_per_row=40, ram_bytes=8000) == 100

    def test_there_is_one_row_at_least(self):
        assert parse_size("1B").resolve_rows(bytes_per_row=40, ram_bytes=0) == 1


class TestPrinted:
    @pytest.mark.parametrize(
        ("count", "text"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10235, "10.0 KiB"),
            (102_399, "100 KiB"),
            (2**20 - 1, "1.00 MiB"),
            (150 * 2**20, "150 MiB"),
            (5 * 2**40, "5120 GiB"),
            (-1536, "-1.50 KiB"),
        ],
    )
    def test_bytes(self, count, text):
        assert format_bytes(count) == text

    @given(st.integers(0, 2**50), st.integers(0, 2**50))
    def test_more_bytes_are_never_printed_as_fewer(self, one, other):
        small, large = sorted((one, other))
        assert parse_bytes(format_bytes(small)) <= parse_bytes(format_bytes(large))

    @given(st.integers(0, 2**50))
    def test_printed_bytes_are_right_to_three_digits(self, count):
        assert math.isclose(parse_bytes(format_bytes(count)), count, rel_tol=0.0051)

    @pytest.mark.parametrize(
        ("rows", "text"),
        [(1, "1"), (999, "999"), (1000, "1k"), (1500, "1500"), (10**6, "1M"), (2 * 10**9, "2G")],
    )
    def test_rows(self, rows, text):
        assert format_rows(rows) == text

    @given(st.integers(1, 10**13))
    def test_printed_rows_lose_nothing(self, rows):
        assert parse_rows(format_rows(rows)) == rows

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0 ms"),
            (0.0123, "12 ms"),
            (0.9994, "999 ms"),
            (0.9996, "1.00 s"),
            (9.994, "9.99 s"),
            (9.996, "10.0 s"),
            (75.2, "75.2 s"),
        ],
    )
    def test_seconds(self, seconds, text):
        assert format_seconds(seconds) == text
