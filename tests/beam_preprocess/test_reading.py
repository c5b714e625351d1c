"""Parsing of rows, and reading of raw files in blocks."""

import dataclasses
import gzip
import string

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_preprocess.datasets import LASTFM, YOOCHOOSE
from beam_preprocess.read import LogFile, cut_text, find_files, line_number, read_blocks
from beam_preprocess.rows import parse, partition_sessions, stable_hash
from beam_preprocess.schema import Schema
from hln_tf.common.errors import HlnError, UsageError

GOOD = "2014-09-24T09:58:32.124Z"
YOOCHOOSE_ROWS = Schema.find(YOOCHOOSE, "1234", "log")
LASTFM_ROWS = Schema.find(LASTFM, "123456", "log")
text = st.text(string.printable.replace("\n", "").replace("\r", "") + "äé坂", max_size=30)


def opened(path, log=YOOCHOOSE_ROWS):
    """Open the file as one of that format."""
    return LogFile(**dataclasses.asdict(find_files([path])[0]), schema=log)


@given(st.lists(st.one_of(st.tuples(text, st.just(GOOD), text, text).map(",".join), text)))
def test_rows_against_a_parser_of_single_lines(lines):
    good, bad = [], []
    for number, line in enumerate(lines):
        columns = line.split(",")
        if len(columns) == 4 and columns[0] and columns[1] == GOOD and columns[2]:
            good.append((columns[0], columns[2]))
        elif line.strip():
            bad.append((number, line))
    parsed = parse("".join(f"{line}\n" for line in lines).encode() or b"\n", YOOCHOOSE_ROWS)
    clicks, malformed = parsed.clicks, parsed.malformed
    found = zip(clicks["session"].to_pylist(), clicks["item"].to_pylist(), strict=True)
    assert list(found) == good
    assert set(clicks["time"].to_pylist()) <= {1411552712_124000}
    assert malformed.count == len(bad)
    assert list(malformed.first) == bad[:5]


def test_quotes_in_songs_are_unchanged_and_both_names_are_needed():
    rows = [
        f'u\t{GOOD}\t\tThe "A"\t\t"b',
        f"u\t{GOOD}\tid\t坂本龍一\tid\ta, b\r",
        f"u\t{GOOD}\tid\t\tid\tsong",
        f"u\t{GOOD}\tid\tartist\tid\t",
    ]
    parsed = parse("\n".join(rows).encode(), LASTFM_ROWS)
    assert parsed.clicks["item"].to_pylist() == ['The "A" / "b', "坂本龍一 / a, b"]
    assert (parsed.malformed.count, parsed.malformed.first[0][0]) == (2, 2)


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(UnicodeDecodeError):
        parse(b"1,2,\xff,4\n", YOOCHOOSE_ROWS)


@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), min_size=1),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
)
def test_blocks_are_the_lines_of_the_file(tmp_path_factory, lines, size, compressed, ended):
    content = b"x\n" + b"\n".join(lines) + b"\n" * ended
    path = tmp_path_factory.mktemp("raw") / "log"
    path.write_bytes(gzip.compress(content) if compressed else content)
    file = opened(path)
    blocks = [block for part in cut_text(file, size) for block in read_blocks(part, size)]
    assert b"".join(block.data for block in blocks) == content
    for block in blocks:
        assert content[block.offset :].startswith(block.data)
        assert block.data
        assert block.offset == 0 or content[block.offset - 1 : block.offset] == b"\n"
        assert line_number(block.file, block.offset) == content[: block.offset].count(b"\n") + 1


def test_files_are_in_order_of_name(tmp_path):
    (tmp_path / "z").mkdir()
    for name in ("b", "z/a"):
        (tmp_path / name).write_text("1")
    files = find_files([tmp_path / "b", tmp_path / "z/a"])
    assert [(file.index, file.name) for file in files] == [(0, "a"), (1, "b")]
    with pytest.raises(UsageError, match="twice"):
        find_files([tmp_path / "b", tmp_path / "z/../b"])


def test_damaged_gzip_is_named(tmp_path):
    path = tmp_path / "log.gz"
    intact = gzip.compress(bytes(range(256)) * 40)
    for content, reason in (
        (intact[:-20], "truncated"),
        (intact[:-8] + b"\0" * 8, "damaged"),
        (intact + b"more", "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(HlnError, match=reason):
            list(read_blocks(cut_text(opened(path), 1000)[0], 1000))


@given(st.lists(st.tuples(st.text("ab1é", min_size=1, max_size=4), st.text(max_size=2))))
def test_partitions_have_complete_sessions_in_file_order(pairs):
    sessions, items = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    table = pa.table(
        {
            "session": pa.array(sessions, pa.string()),
            "item": pa.array(items, pa.string()),
            "position": pa.array(range(len(pairs)), pa.int64()),
        }
    )
    pieces = partition_sessions(table, 3)
    assert len({number for number, _ in pieces}) == len(pieces)
    assert sorted(p for _, piece in pieces for p in piece["position"].to_pylist()) == list(
        range(len(pairs))
    )
    partition_of = {}
    for number, piece in pieces:
        positions = piece["position"].to_pylist()
        assert positions == sorted(positions)
        assert piece["session"].to_pylist() == [sessions[p] for p in positions]
        assert piece["item"].to_pylist() == [items[p] for p in positions]
        for session in piece["session"].to_pylist():
            assert partition_of.setdefault(session, number) == number


def test_hash_is_stable_and_even():
    ids = pa.array([str(number) for number in range(20_000)])
    hashes = stable_hash(ids)
    assert np.array_equal(stable_hash(ids.slice(5, 9)), hashes[5:14])
    assert stable_hash(pa.array(["1", "11411374", "user_000001"])).tolist() == [
        3935182350,
        1701355062,
        962584037,
    ]
    share = np.bincount((hashes % np.uint64(16)).astype(int), minlength=16) / len(ids)
    assert share.min() > 0.05
