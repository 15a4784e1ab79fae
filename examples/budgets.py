"""What each report may cost: the marks of its test, and of every regression held against it.

`x` is the data in Arrow memory. The figures leave half as much again as was measured; what a report
holds that does not grow with the data (a reader's buffers, the groups) is in the MiB.
"""

import pytest


def together(*marks):
    """One decorator of several marks."""

    def mark_test(test):
        for mark in marks:
            test = mark(test)
        return test

    return mark_test


# The window of this one begins before the scan. pandas reads all columns there, as objects; the
# others only those that they need, and hold no more of them than a few batches.
north_revenue = together(
    pytest.mark.sizes("4M"),
    pytest.mark.memory_ceiling(
        "80MiB",
        pandas="6x + 100MiB",
        pandas_arrow="2.7x + 100MiB",
        arrow="200MiB",
        dask="150MiB",
        modin_ray="12x",
        modin_dask="12x",
        ray="1x + 400MiB",
        spark="150MiB",
    ),
)

# Polars in memory holds the two columns whole, and once more as it groups them.
revenue_by_product = together(
    pytest.mark.sizes("4M"),
    pytest.mark.memory_ceiling(
        "0.2x + 60MiB",
        arrow="250MiB",
        polars="1.2x + 60MiB",
        dask="250MiB",
        modin_ray="2x + 100MiB",
        modin_dask="2x + 100MiB",
        ray="1x + 400MiB",
        spark="150MiB",
    ),
)

revenue_by_category = together(
    pytest.mark.sizes("4M"),
    pytest.mark.memory_ceiling(
        "0.2x + 90MiB",
        arrow="250MiB",
        polars="1.5x + 60MiB",
    ),
)

# A million customers have their sums at once, whatever the number of sales.
best_customers = together(
    pytest.mark.sizes("4M"),
    pytest.mark.memory_ceiling(
        "280MiB",
        arrow="500MiB",
        polars="1x + 300MiB",
    ),
)

# pandas has one core: there is no floor that it could hold, so it is asked for none. Spark plans and compiles
# on one core before it works on all; Modin gathers what its workers found on one; Ray wants
# 2.0 cores of 2, its oldest version 1.5.
urgent_revenue = together(
    pytest.mark.sizes("8M"),
    pytest.mark.memory_ceiling(
        "0.3x + 50MiB",
        pandas="0.6x + 50MiB",
        arrow="0.5x + 100MiB",
        dask="1x",
        modin_ray="6x",
        modin_dask="6x",
        ray="1.5x + 400MiB",
    ),
    pytest.mark.min_cores(
        "80%", pandas=None, pandas_arrow=None, modin_dask="75%", ray="70%", spark="65%"
    ),
)

# For a regression that has Python go through the rows: it takes seconds for what the good twin does in a moment.
smaller = pytest.mark.sizes("2M")

# A plain test: one line is held at a time, whatever their number.
LINES = 1_000_000
statement = pytest.mark.memory_ceiling("16MiB")
