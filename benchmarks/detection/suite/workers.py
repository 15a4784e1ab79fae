"""Processes and threads for the tests without an engine, and work for them."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import pytest
from twins import MIB

_BLOCK = bytes(4 * MIB)


def in_processes(count: int, work: Callable[[], Any]) -> list[Any]:
    """What `work` gives in each of `count` forks at once."""
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    children = [fork.Process(target=lambda: answers.put(work())) for _ in range(count)]
    for child in children:
        child.start()
    found = [answers.get() for _ in children]
    for child in children:
        child.join()
    return found


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """What `work` gives in each of `count` threads at once."""
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def program(code: str, **options: Any) -> subprocess.Popen[bytes]:
    """A small Python that runs `code`, its output to be read."""
    command = [sys.executable, "-S", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, **options)


def output_of(process: subprocess.Popen[bytes]) -> int:
    """The number that a program prints, once it has ended."""
    with process:
        return int(process.stdout.read())


def hash_blocks(blocks: int) -> int:
    """Work that gives Python's lock away."""
    for _ in range(blocks):
        hashlib.sha256(_BLOCK)
    return blocks


def hash_for(seconds: float) -> None:
    """The same for so much CPU time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        hashlib.sha256(_BLOCK)


def count_in_python(steps: int) -> int:
    """Work that holds Python's lock."""
    total = 0
    for step in range(steps):
        total += step * step % 7
    return total


@contextlib.contextmanager
def segment(size: int) -> Iterator[memoryview]:
    """Shared memory of so many bytes, gone afterwards. Nothing may refer to it then."""
    shared = SharedMemory(create=True, size=size)
    try:
        yield shared.buf
    finally:
        shared.unlink()
        shared.close()


def write_file(path: Path, mebibytes: int) -> Path:
    """A file of so many MiB, written in pieces."""
    with path.open("wb") as file:
        for number in range(mebibytes):
            file.write(bytes([number % 256]) * MIB)
    return path


def on_disk(folder: Path) -> Path:
    """The folder, where files in it are not memory themselves; else the test is skipped."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    kind = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if kind in {"tmpfs", "ramfs"}:
        pytest.skip(f"{folder} is on {kind}: set TMPDIR to a folder on disk")
    return folder
