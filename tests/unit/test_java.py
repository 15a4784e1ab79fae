import shlex
import subprocess
import sys

import pytest

from pytest_layers.engines import _java, spark
from pytest_layers.engines.spark import Spark
from pytest_layers.records import Budget


@pytest.fixture(autouse=True)
def nothing_is_remembered():
    _java.major.cache_clear()


@pytest.fixture
def no_java(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.fixture
def home(tmp_path, monkeypatch, no_java):
    """Makes a Java that says `said`, with a `release` file where one is given."""

    def make(release="", said=""):
        java = tmp_path / "jdk" / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
        java.chmod(0o755)
        if release:
            (java.parent.parent / "release").write_text(release)
        monkeypatch.setenv("JAVA_HOME", str(java.parent.parent))
        return java

    return make


@pytest.mark.parametrize(
    ("version", "number"), [("17.0.15", 17), ("1.8.0_392", 8), ("25", 25), ("21-ea", 21)]
)
def test_version_by_the_release_file(home, version, number):
    java = home(release=f'IMPLEMENTOR="Debian"\nJAVA_VERSION="{version}"\n')
    assert _java.major(java) == number


def test_version_by_its_own_word(home):
    assert _java.major(home(said='openjdk version "11.0.2" 2019-01-15')) == 11


def test_the_release_file_saves_a_start(home):
    assert _java.major(home(release='JAVA_VERSION="17.0.1"', said='version "8"')) == 17


def test_home_of_a_link(home, tmp_path, monkeypatch):
    java = home(release='JAVA_VERSION="17.0.1"')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(java)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert _java.obstacle("spark", 17) is None


def test_no_java(no_java):
    text = "spark needs Java 17 or newer; there is none on PATH, and JAVA_HOME is not set"
    assert _java.obstacle("spark", 17) == text


def test_home_goes_before_path(home, tmp_path, monkeypatch):
    java = home(release='JAVA_VERSION="17.0.1"')
    monkeypatch.setenv("PATH", str(java.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert _java.obstacle("spark", 17) == "spark needs Java 17 or newer; there is none by JAVA_HOME"


def test_too_old(home):
    java = home(release='JAVA_VERSION="1.8.0_392"')
    assert _java.obstacle("spark", 17) == f"spark needs Java 17 or newer; {java} is 8"


def test_says_nothing(home):
    java = home(said="No runtime is there")
    text = f"spark needs Java 17 or newer; {java} does not tell its version"
    assert _java.obstacle("spark", 17) == text


class TestObstacleOfSpark:
    @pytest.fixture(autouse=True)
    def installed(self, monkeypatch):
        monkeypatch.setattr(Spark, "modules", ("json",))
        monkeypatch.setattr(Spark, "python_from", (3, 10))

    def test_none(self, home):
        home(release='JAVA_VERSION="17.0.1"')
        assert Spark.obstacle() is None

    def test_java(self, no_java):
        assert "needs Java 17" in Spark.obstacle()
        assert "apt install openjdk-17-jre-headless" in Spark.mend()

    def test_not_installed_goes_first(self, no_java, monkeypatch):
        monkeypatch.setattr(Spark, "modules", ("no_such_spark",))
        assert Spark.obstacle() == "spark is not installed (no_such_spark)"
        assert Spark.mend() == 'pip install "pytest-layers[spark]"'

    def test_python_goes_first(self, no_java, monkeypatch):
        monkeypatch.setattr(Spark, "python_from", (9, 0))
        assert Spark.obstacle() == "spark needs Python 9.0 or newer"
        assert Spark.mend() == "run it with Python 9.0 or newer"

    def test_imports_nothing(self, home, monkeypatch):
        home(release='JAVA_VERSION="17.0.1"')
        monkeypatch.setattr(Spark, "modules", ("pyspark", "pandas"))
        before = set(sys.modules)
        Spark.obstacle()
        assert set(sys.modules) == before


def test_listens_and_writes_where_it_is_told():
    told = Spark.environment(Budget(2, 2**30, "folder"))
    assert told["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert told["SPARK_LOCAL_DIRS"] == "folder/spark"
    assert told["PYSPARK_PYTHON"] == sys.executable


def test_a_temp_folder_may_have_spaces_in_its_name():
    settings = spark._settings(Budget(2, 2**30, "/tmp/a b"), "127.0.0.1")
    options = shlex.split(settings["spark.driver.extraJavaOptions"])
    assert "-Djava.io.tmpdir=/tmp/a b" in options
    assert all(option.startswith("-") for option in options)


@pytest.mark.skipif(_java.executable() is None, reason="there is no Java")
@pytest.mark.parametrize("collector", ["G1", "Parallel"])
def test_another_collector_in_the_environment_does_not_keep_it_from_starting(
    collector, monkeypatch
):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-XX:+Use{collector}GC")
    command = [_java.executable(), *spark._JVM, "-XX:+PrintCommandLineFlags", "-version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "-XX:+UseSerialGC" in told.stdout
