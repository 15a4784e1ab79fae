"""pytest-layers: scaling regression tests for dataframe code.

Read in this order:

    settings -> cases -> isolate -> measure -> judge -> report

A test walks through five rooms, each answering one question: what runs (`engines`, on `datasets`), where it runs
(`isolate`), what it cost (`measure`), was it allowed (`judge`), what is said (`report`). `plugin` is pytest's way in,
`runner` the only place where the rooms meet, `records` the values that pass between them.

For authors of engines: `pytest_layers.engines.base.Engine`, `pytest_layers.hookspec`, `pytest_layers.testing`.

PYTEST_DONT_REWRITE: the child of a case imports this package before pytest, which would warn of it.
"""

__version__ = "0.1.0"
