"""The `layers` fixture: write test files, run pytest on them, have the results as data."""

import importlib
import json
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

import pytest_layers
from pytest_layers import records

for _module in pkgutil.walk_packages(pytest_layers.__path__, "pytest_layers."):
    # pytester forgets what an inner run imported first; a stash key must not be made twice.
    importlib.import_module(_module.name)

PLUGINS = {
    "asyncio": "pytest_asyncio.plugin",
    "benchmark": "pytest_benchmark.plugin",
    "cov": "pytest_cov.plugin",
    "hypothesis": "_hypothesis_pytestplugin",
    "rerunfailures": "pytest_rerunfailures",
    "timeout": "pytest_timeout",
    "xdist": "xdist.plugin",
}

ENGINES = '''
from pytest_layers.engines.base import Engine


class Fake(Engine):
    """Needs Arrow alone; its frames are data sets and tables."""

    name, layer = "fake", "memory"
    modules, distribution, install = ("pyarrow",), "pyarrow", "pip install pyarrow"

    def start(self, budget):
        import pyarrow.parquet

        self.namespace, self.budget = pyarrow, budget

    def scan(self, dataset):
        return dataset

    def read(self, dataset):
        return self.namespace.parquet.read_table(dataset.path)

    def collect(self, frame):
        return frame if isinstance(frame, self.namespace.Table) else self.read(frame)


class Other(Fake):
    name, layer, max_cores = "other", "classic", 1


class Third(Fake):
    name, layer = "third-one", "engine"


class Absent(Fake):
    name, layer = "absent", "engine"
    modules, install = ("no_such_module",), 'pip install "pytest-layers[absent]"'


class Far(Fake):
    name, layer, starts_processes = "far", "cluster", True


'''


@dataclass
class Ran:
    """What came of one run."""

    status: int
    out: str
    err: str
    document: dict | None
    """The parsed `--layers-report`, as written."""

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def outcomes(self):
        """As pytest counts them: `{"passed": 1, "failed": 2}`."""
        return pytest.RunResult.parse_summary_nouns(self.lines)

    @property
    def run(self):
        """The document as records."""
        return records.from_json(records.Run, self.document)

    @property
    def cases(self):
        """The cases by their node ids without the file."""
        return {result.case.nodeid.partition("::")[2]: result for result in self.run.cases}

    @property
    def case_outcomes(self):
        """The outcome of each case, by its node id without the file."""
        return {name: result.outcome for name, result in self.cases.items()}

    def case(self, name):
        """The one case of that name."""
        found = [result for result in self.run.cases if result.case.nodeid.endswith(f"::{name}")]
        assert len(found) == 1, f"{len(found)} cases {name!r} in {list(self.cases)}\n{self.out}"
        return found[0]

    def verdict(self, name):
        """The one verdict on the one case of that name."""
        (verdict,) = self.case(name).verdicts
        return verdict

    def section(self, title):
        """The lines between the rule that bears `title` and the next one."""
        rule = re.compile(r"^([=_-])\1+ (.*?) \1+$")
        titles = [
            (number, found[2])
            for number, line in enumerate(self.lines)
            if (found := rule.match(line))
        ]
        for (start, name), (end, _) in zip(
            titles, [*titles[1:], (len(self.lines), "")], strict=True
        ):
            if name == title:
                return self.lines[start + 1 : end]
        raise AssertionError(f"no section {title!r} in\n{self.out}")

    @property
    def table(self):
        """The rows of the table at the end, as lists of words; its head first."""
        return [line.split() for line in self.section("layers")]

    @property
    def remarks(self):
        """What the section of the table says below it, on one line."""
        said = [line for line in self.section("layers") if not line.startswith("written to")]
        start = next(
            number for number, line in enumerate(said) if " isolation" in line or ":" in line
        )
        return " ".join(line.strip() for line in said[start:])

    @property
    def errors(self):
        """What the collection errors say, file by file."""
        heads = [
            line for line in self.lines if line.startswith("____") and "ERROR collecting" in line
        ]
        return [line for head in heads for line in self.section(head.strip("_ "))]


class Layers:
    """Test files in a folder of their own, to be run by a pytest of their own."""

    def __init__(self, pytester, cache):
        self._pytester = pytester
        self.path = pytester.path
        self.report = pytester.path / "layers-report.json"
        self.cache = cache

    def write(self, name, text):
        """A file, whatever it is."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def engines(self, hook="def pytest_layers_engines(): return [Fake, Other, Third, Absent, Far]"):
        """Have the engines `fake`, `other`, `third-one`, `absent` (not installed) and `far`."""
        self.write("conftest.py", f"{ENGINES}\n\n{hook}\n")

    def run(self, text=None, *args, process=False, plugins=(), autoload=False, cwd=None):
        """Run pytest on `text`, a test file, or on what was written; in a process of its own if asked.

        Only this plugin is loaded, and those in `plugins`: each costs every child its start.
        """
        if text is not None:
            self.write("test_it.py", text)
        self.report.unlink(missing_ok=True)
        own = [f"--layers-cache-dir={self.cache}", f"--layers-report={self.report}"]
        if not autoload:
            own += ["-p", "pytest_layers.plugin"]
        own += [word for name in plugins for word in ("-p", PLUGINS[name])]
        return self.bare(*own, *map(str, args), process=process, autoload=autoload, cwd=cwd)

    def bare(self, *args, process=False, autoload=True, cwd=None):
        """Run pytest with no argument but these."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "COV_CORE_SOURCE"):
                patch.delenv(name, raising=False)
            if not autoload:
                patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            if cwd is not None:
                patch.chdir(cwd)
            run = (
                self._pytester.runpytest_subprocess
                if process
                else self._pytester.runpytest_inprocess
            )
            result = run(*args)
        document = json.loads(self.report.read_text()) if self.report.exists() else None
        return Ran(int(result.ret), str(result.stdout), str(result.stderr), document)


@pytest.fixture(scope="session")
def layers_cache(tmp_path_factory) -> Path:
    """The data sets of all runs: made once."""
    return tmp_path_factory.mktemp("layers-cache")


@pytest.fixture
def layers(pytester, layers_cache):
    """Write test files, run pytest on them, have the results as data."""
    return Layers(pytester, layers_cache)
