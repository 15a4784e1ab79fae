"""Quantities as people write them, parsed and printed: `512MiB`, `10k`, `60%`, `2.5x + 300MiB`.

Every parser raises `ValueError` with a text that says what was given and what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

BYTE_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
ROW_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
SECOND_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_AMOUNT_UNITS = (*BYTE_UNITS, "x", "B/row", "%ram")
_SIZE_UNITS = (*ROW_UNITS, *BYTE_UNITS, "ram")

_TERM = re.compile(
    r"\s*(?P<number>\d[\d_]{0,23}(?:\.\d{1,18})?|\.\d{1,18})\s*(?P<unit>[A-Za-z%/]*)\s*"
)
WRITE_BYTES = "write 512MiB or 1.5GiB (KiB, MiB, GiB count 1024; KB, MB, GB count 1000)"
WRITE_AMOUNT = (
    "write a sum of terms like 512MiB, 2.5x (times the data in Arrow memory), 40B/row, 25%ram"
)
WRITE_CORES = "write a number of cores like 1.5, or a share of the cores given like 60%"
WRITE_SPEEDUP = "write a factor like 1.5, 1 or more, or a share of the cores given like 75%"
WRITE_SIZE = (
    "write rows like 10_000, 10k or 1M, bytes in Arrow memory like 2GiB, or a share like 0.5ram"
)
WRITE_SECONDS = "write 90, 90s, 5min or 1h"


def _split(text: str) -> tuple[Fraction, str] | None:
    """The exact number and the unit of one term, or None where it is no term."""
    match = _TERM.fullmatch(text)
    if match is None:
        return None
    return Fraction(match["number"].replace("_", "")), match["unit"]


def _close_unit(unit: str, known: Iterable[str]) -> str:
    """`; did you mean MiB?`: units of the same letters in another case, else those that begin so."""
    begun = [one for one in known if unit and one.lower().startswith(unit.lower())]
    same = [one for one in begun if len(one) == len(unit)]
    return f"; did you mean {' or '.join(same or begun)}?" if begun else ""


def parse_bytes(text: str) -> int:
    """Bytes of `512MiB`, `1.5GiB`, `20GB`, `0B`."""
    term = _split(text)
    if term is None:
        raise ValueError(f"{text!r} is not a memory size; {WRITE_BYTES}")
    number, unit = term
    if unit not in BYTE_UNITS:
        guess = _close_unit(unit, BYTE_UNITS)
        raise ValueError(f"{text!r} is not a memory size{guess}; {WRITE_BYTES}")
    return round(number * BYTE_UNITS[unit])


def parse_rows(text: str) -> int:
    """Rows of `10_000`, `10k`, `1M`, `2G`; at least one, and whole."""
    term = _split(text)
    if term is None or term[1] not in ROW_UNITS:
        raise ValueError(f"{text!r} is not a row count; write 10_000, 10k or 1M")
    rows = term[0] * ROW_UNITS[term[1]]
    if rows < 1 or rows != int(rows):
        raise ValueError(f"{text!r} is not a whole number of rows above zero")
    return int(rows)


def parse_seconds(text: str) -> float:
    """Seconds of `90`, `90s`, `250ms`, `5min`, `1h`; above zero."""
    term = _split(str(text))
    if term is None or term[1] not in SECOND_UNITS or term[0] <= 0:
        guess = _close_unit(term[1], SECOND_UNITS) if term and term[0] else ""
        raise ValueError(f"{text!r} is not a time above zero{guess}; {WRITE_SECONDS}")
    return float(term[0]) * SECOND_UNITS[term[1]]


@dataclass(frozen=True)
class Amount:
    """A memory limit as a sum of terms; `resolve` turns it into bytes for one case."""

    fixed_bytes: int = 0
    times_data: float = 0.0
    bytes_per_row: float = 0.0
    ram_share: float = 0.0

    @property
    def needs_data(self) -> bool:
        """Whether a term is relative to the case's data; a test without data can't have such a limit."""
        return bool(self.times_data or self.bytes_per_row)

    def resolve(self, *, data_bytes: int, rows: int, ram_bytes: int) -> int:
        """The limit in bytes for data of `data_bytes` in Arrow memory and `rows`, on this machine."""
        scaled = self.times_data * data_bytes + self.bytes_per_row * rows
        return round(self.fixed_bytes + scaled + self.ram_share * ram_bytes)

    def __str__(self) -> str:
        terms = [
            f"{self.times_data:g}x" if self.times_data else "",
            f"{self.bytes_per_row:g}B/row" if self.bytes_per_row else "",
            f"{self.ram_share * 100:g}%ram" if self.ram_share else "",
            format_bytes(self.fixed_bytes) if self.fixed_bytes else "",
        ]
        return " + ".join(term for term in terms if term) or "0 B"


def _amount_term(text: str) -> Amount:
    term = _split(text)
    if term is None:
        raise ValueError(f"{text.strip()!r} is not a memory size; {WRITE_AMOUNT}")
    number, unit = term
    if unit == "x":
        return Amount(times_data=float(number))
    if unit == "%ram":
        return Amount(ram_share=float(number / 100))
    if unit.endswith("/row") and unit[:-4] in BYTE_UNITS:
        return Amount(bytes_per_row=float(number * BYTE_UNITS[unit[:-4]]))
    if unit in BYTE_UNITS:
        return Amount(fixed_bytes=round(number * BYTE_UNITS[unit]))
    guess = _close_unit(unit, _AMOUNT_UNITS)
    raise ValueError(f"{text.strip()!r} is not a memory size{guess}; {WRITE_AMOUNT}")


def parse_amount(given: object) -> Amount:
    """An `Amount` of `"0.5x + 150MiB"`, or of a whole number of bytes."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return Amount(fixed_bytes=given)
    if not isinstance(given, str):
        raise ValueError(f"{given!r} is not a memory size; {WRITE_AMOUNT}")
    terms = [_amount_term(part) for part in given.split("+")]
    return Amount(
        fixed_bytes=sum(term.fixed_bytes for term in terms),
        times_data=sum(term.times_data for term in terms),
        bytes_per_row=sum(term.bytes_per_row for term in terms),
        ram_share=sum(term.ram_share for term in terms),
    )


@dataclass(frozen=True)
class Cores:
    """A floor on cores, or on the speed-up that they make: an absolute number, or a share of the cores given."""

    number: float = 0.0
    share: float = 0.0

    def resolve(self, cores_given: int) -> float:
        """The floor where `cores_given` are given."""
        return self.share * cores_given if self.share else self.number

    def __str__(self) -> str:
        return f"{self.share * 100:g}%" if self.share else f"{self.number:g}"


def parse_cores(given: object) -> Cores:
    """`Cores` of `1.5`, `"1.5"` or `"60%"`."""
    return _number_or_share(given, "a number of cores", WRITE_CORES)


def parse_speedup(given: object) -> Cores:
    """`Cores` of a speed-up: `1.5`, `"1.5"` or `"75%"`; a number is 1 at least."""
    factor = _number_or_share(given, "a speed-up", WRITE_SPEEDUP)
    if not factor.share and factor.number < 1:
        raise ValueError(f"{given!r} is not a speed-up; {WRITE_SPEEDUP}")
    return factor


def _number_or_share(given: object, what: str, accepted: str) -> Cores:
    term = None if isinstance(given, bool) else _split(str(given))
    if term is None or term[1] not in {"", "%"} or term[0] <= 0:
        raise ValueError(f"{given!r} is not {what}; {accepted}")
    number, unit = term
    if unit == "%" and number > 100:
        raise ValueError(f"{given!r} is more than all cores given; {accepted}")
    return Cores(share=float(number / 100)) if unit == "%" else Cores(number=float(number))


@dataclass(frozen=True)
class Size:
    """A size as written, which is also its test id: rows, Arrow bytes, or a share of the machine."""

    name: str
    rows: int = 0
    arrow_bytes: int = 0
    ram_share: float = 0.0

    def resolve_rows(self, *, bytes_per_row: float, ram_bytes: int) -> int:
        """Rows of this size for data that takes `bytes_per_row` in Arrow memory; at least one."""
        if self.rows:
            return self.rows
        return max(1, round((self.arrow_bytes + self.ram_share * ram_bytes) / bytes_per_row))


def parse_size(given: object) -> Size:
    """A `Size` of `1_000_000`, `"1M"`, `"2GiB"` or `"0.5ram"`."""
    text = "" if isinstance(given, bool) else str(given).strip()
    term = _split(text)
    if term is None or term[0] <= 0:
        raise ValueError(f"{given!r} is not a size; {WRITE_SIZE}")
    number, unit = term
    name = "".join(text.split())
    if unit == "ram":
        return Size(name=name, ram_share=float(number))
    if unit in BYTE_UNITS:
        return Size(name=name, arrow_bytes=round(number * BYTE_UNITS[unit]))
    if unit not in ROW_UNITS:
        raise ValueError(f"{given!r} is not a size{_close_unit(unit, _SIZE_UNITS)}; {WRITE_SIZE}")
    rows = parse_rows(text)
    return Size(name=format_rows(rows), rows=rows)


def parse_sizes(given: Iterable[object]) -> tuple[Size, ...]:
    """Several `Size`s, none of them twice."""
    sizes = tuple(parse_size(one) for one in given)
    names = [size.name for size in sizes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is named twice")
    return sizes


def format_bytes(count: float) -> str:
    """`1536` as `1.50 KiB`: binary units, three digits (four from 1000 to 1023) after a sign."""
    size, units = abs(count), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    while round(size) >= 1024 and unit != "GiB":
        size, unit = size / 1024, next(units)
    digits = 0 if unit == "B" else _digits(size)
    return f"{'-' if count < 0 else ''}{size:.{digits}f} {unit}"


def _digits(size: float) -> int:
    """Digits after the point that make three in all, after rounding."""
    return 2 if size < 9.995 else 1 if size < 99.95 else 0


def format_figure(name: str, value: float) -> str:
    """A figure under a name that ends in its unit: `heap_after_gc_bytes` as `heap after gc 40.0 MiB`."""
    in_bytes = name.endswith("_bytes")
    what = name.removesuffix("_bytes").replace("_", " ")
    return f"{what} {format_bytes(value) if in_bytes else f'{value:g}'}"


def format_rows(rows: int) -> str:
    """`1000000` as `1M`, `1500` as `1500`: a unit only where it loses nothing."""
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if rows >= factor and rows % factor == 0:
            return f"{rows // factor}{unit}"
    return str(rows)


def format_seconds(seconds: float) -> str:
    """`0.0123` as `12 ms`, `7.5` as `7.50 s`, `75.2` as `75.2 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
