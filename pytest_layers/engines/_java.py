"""Which Java a library would start, and whether it is new enough. Runs it only if no file tells its version."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

_RELEASE = re.compile(r'^JAVA_VERSION="([^"]+)"', re.MULTILINE)
_SAID = re.compile(r'version "([^"]+)"')
_ANSWER_SECONDS = 10.0


def obstacle(who: str, least: int) -> str | None:
    """Why `who` finds no Java of version `least` or newer here, in a few words, or None."""
    java = executable()
    if java is None:
        where = (
            "by JAVA_HOME" if os.environ.get("JAVA_HOME") else "on PATH, and JAVA_HOME is not set"
        )
        return f"{who} needs Java {least} or newer; there is none {where}"
    version = major(java)
    if version is None:
        return f"{who} needs Java {least} or newer; {java} does not tell its version"
    return f"{who} needs Java {least} or newer; {java} is {version}" if version < least else None


def mend(least: int) -> str:
    """How to install it."""
    return (
        f"install Java {least} (apt install openjdk-{least}-jre-headless) and set JAVA_HOME to it"
    )


def executable() -> Path | None:
    """The `java` of `JAVA_HOME`, or the one on `PATH` where that is not set; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(Path(home, "bin", "java") if home else "java")
    return Path(found) if found else None


@functools.cache
def major(java: Path) -> int | None:
    """17 for Java 17.0.15, 8 for 1.8.0: from the file `release` in its home, else from `java -version`."""
    release = java.resolve().parent.parent / "release"
    found = _RELEASE.search(release.read_text()) if release.is_file() else _SAID.search(_says(java))
    return _major(found[1]) if found else None


def _says(java: Path) -> str:
    try:
        said = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stderr


def _major(version: str) -> int:
    """The number that counts: the second of `1.8.0_392`, the first since Java 9."""
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]
