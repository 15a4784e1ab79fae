import json
import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_layers.isolate.wire import Decoder, decode, encode, kind_of, write_all

ONE = encode("report", text='ä\n"quoted"')


def test_a_message_is_one_line():
    assert ONE.count(b"\n") == 1
    assert json.loads(ONE) == {"kind": "report", "text": 'ä\n"quoted"'}


def test_what_json_does_not_know_is_sent_as_its_text():
    assert decode(encode("report", path=Path("a"))) == {"kind": "report", "path": "a"}


def test_what_json_can_not_carry_is_sent_as_its_text():
    circle = [1]
    circle.append(circle)
    report = {"when": "call", "user_properties": [("pairs", {(1, 2): 3}), ("circle", circle)]}
    assert decode(encode("report", report=report))["report"] == {
        "when": "call",
        "user_properties": [["pairs", "{(1, 2): 3}"], ["circle", "[1, [...]]"]],
    }


def test_the_kind_is_told_without_reading_the_rest():
    assert kind_of(b'{"kind": "begin", and then rubbish') == "begin"


@pytest.mark.parametrize("line", [b"", b"\n", b"hello\n", b'{"a": 1}\n', b"\xff\xfe\n", b"null\n"])
def test_what_is_no_message_has_no_kind(line):
    assert kind_of(line) == ""
    assert decode(line) is None


def test_a_spoilt_message_is_nothing():
    assert decode(b'{"kind": "report", "text": "ha\n') is None


def test_odd_bytes_within_a_message_are_nothing():
    assert decode(b'{"kind": "report", "text": "\xff"}\n') is None


def test_a_line_is_kept_until_it_is_whole():
    decoder = Decoder()
    assert list(decoder.feed(ONE[:5])) == []
    assert list(decoder.feed(ONE[5:])) == [ONE]


def test_several_lines_come_at_once():
    assert list(Decoder().feed(ONE * 3)) == [ONE] * 3


def test_an_empty_line_is_a_line():
    assert list(Decoder().feed(b"\n\n")) == [b"\n", b"\n"]


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 60)))
def test_however_bytes_are_cut_the_lines_are_the_same(lines, cuts):
    lines = [line.replace(b"\n", b"") + b"\n" for line in lines]
    data = b"".join(lines)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    decoder = Decoder()
    found = [line for start, end in pairwise(edges) for line in decoder.feed(data[start:end])]
    assert found == lines


def test_more_than_a_pipe_holds_is_written_in_steps():
    read, write = os.pipe()
    data = bytes(300_000)
    writer = threading.Thread(target=write_all, args=(write, data))
    writer.start()
    found = b""
    while len(found) < len(data):
        found += os.read(read, 65536)
    writer.join()
    os.close(read)
    os.close(write)
    assert found == data
