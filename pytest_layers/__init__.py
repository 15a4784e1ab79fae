"""pytest-layers: scaling regression tests for dataframe code.

`plugin` holds pytest's hooks, in the order of a test's life. From there a test goes through these modules and folders:

    settings       `options` is the table of flags and ini keys, `settings` makes one checked value of them
    cases          `marks` become limits; `cases` spreads a test over engines and sizes; `fixtures` is what a test gets
    isolated run   `runner` takes one case from start to verdict, the only place where the folders meet
                   `processes` makes one attempt at it, in a fresh process or a kept one (`in_place`: in pytest's own)
                   `isolate/` starts that process under a supervisor; `attempt` is what came of it
    samples        `measure/` reads the process tree from outside, in the supervisor
    measurement    `measure/reduce` makes one measurement of the readings
    verdict        `judge/` holds it against the limits; `survival` says what became of a case under a hard limit
    report         `outcome` puts verdicts on the test's reports, `session_report` gathers those of all tests
                   `report/` writes terminal text, JSON and JUnit

What runs is an engine (`engines/`) on a data set (`datasets/`). Values that pass between all these are in `records`,
quantities like "512MiB" in `units`, exceptions in `errors`, keys to what is kept on pytest's objects in `state`.

For authors of engines: `pytest_layers.engines.base.Engine`, `pytest_layers.hookspec`, `pytest_layers.testing`.

PYTEST_DONT_REWRITE: the child of a case imports this package before pytest, which would warn of it.
"""

__version__ = "0.1.0"
