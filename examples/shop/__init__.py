"""Reports over the sales of a shop, in the idiom of each engine.

Every module of reports has the same functions: they take frames as `engine.scan` gives them, and
return what `engine.collect` takes.

    north_revenue(sales)                  amount
    revenue_by_product(sales)             product, amount
    revenue_by_category(sales, products)  category, amount
    best_customers(sales)                 customer, amount: of the best ten
    urgent_revenue(sales)                 amount: of the orders whose note says so
"""

import importlib

URGENT = "urgent|by noon"

MODULES = {
    "pandas": "pandas_reports",
    "pandas-arrow": "pandas_reports",
    "arrow": "arrow_reports",
    "polars": "polars_reports",
    "polars-streaming": "polars_reports",
    "vaex": "vaex_reports",
    "duckdb": "duckdb_reports",
    "dask": "dask_reports",
    "modin-ray": "modin_reports",
    "modin-dask": "modin_reports",
    "ray": "ray_reports",
    "spark": "spark_reports",
}


def reports_for(engine):
    """The reports in the idiom of `engine`; its library is imported only now."""
    return importlib.import_module(f"shop.{MODULES[engine.name]}")
