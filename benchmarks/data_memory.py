"""Makes the built-in sales as Parquet in a child process; prints its speed and peak footprint.

    python benchmarks/data_memory.py [ROWS]

The footprint is the child's own `VmHWM` (the most that was ever resident) less its `RssFile` at the
end (mapped files, mostly shared libraries, which the kernel can drop), both from /proc/self/status.
What remains is anonymous and shared memory. Exits with 1 where that is over 400 MiB.
Takes a minute for 50M rows.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_layers.datasets import formats, sales
from pytest_layers.units import format_bytes, format_rows, format_seconds, parse_rows

CEILING_BYTES = 400 * 2**20


def footprint_bytes():
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    kib = {words[0]: int(words[1]) for words in lines if words[-1] == "kB"}
    return (kib["VmHWM:"] - kib["RssFile:"]) * 1024


def write(rows, path):
    formats.named("parquet").write(sales.batches(rows), path)
    print(footprint_bytes())


def measure(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sales.parquet")
        begin = time.perf_counter()
        command = [sys.executable, __file__, str(rows), "--into", path]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return time.perf_counter() - begin, peak, path.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=parse_rows, nargs="?", default="50M")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.into:
        return write(options.rows, options.into)
    seconds, peak, size = measure(options.rows)
    print(f"{format_rows(options.rows)} rows, {format_bytes(size)} on disk")
    print(f"{format_seconds(seconds)}, {options.rows / seconds:,.0f} rows/s")
    print(f"peak footprint {format_bytes(peak)} (ceiling {format_bytes(CEILING_BYTES)})")
    return int(peak > CEILING_BYTES)


if __name__ == "__main__":
    sys.exit(main())
