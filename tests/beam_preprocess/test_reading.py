"""Parsing of rows, and reading of raw files in blocks."""

import bz2
import dataclasses
import gzip
import io
import string
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
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


@settings(deadline=None)
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


@settings(deadline=None)
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


def zipped(content, names=("log",)):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


COMPRESS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": lambda content: pa.compress(content, "zstd", asbytes=True),
    "zip": lambda content: zipped(content, ["__MACOSX/log", "directory/", "directory/log"]),
}


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("size", [7, 1000, 1 << 20])
def test_compressed_files(tmp_path, ending, size):
    content = b"".join(b"%d,%s,%d,0\n" % (n // 3, GOOD.encode(), n) for n in range(999))
    path = tmp_path / f"log.{ending}"
    path.write_bytes(COMPRESS[ending](content))
    file = opened(path)
    blocks = [block for part in cut_text(file, size) for block in read_blocks(part, size)]
    assert b"".join(block.data for block in blocks) == content
    assert sum(block.raw_bytes for block in blocks) <= path.stat().st_size
    assert line_number(file, blocks[-1].offset) == 1 + content[: blocks[-1].offset].count(b"\n")


@pytest.mark.parametrize("ending", ["bz2", "gz", "zst"])
def test_joined_compressed_files_are_one(tmp_path, ending):
    path = tmp_path / "log"
    path.write_bytes(COMPRESS[ending](b"1,a,b,c\n") + COMPRESS[ending](b"2,a,b,c\n"))
    [part] = cut_text(opened(path), 1000)
    assert b"".join(block.data for block in read_blocks(part, 1000)) == b"1,a,b,c\n2,a,b,c\n"


@pytest.mark.parametrize("ending", COMPRESS)
def test_truncated_and_damaged_files_are_named(tmp_path, ending):
    path = tmp_path / f"log.{ending}"
    intact = COMPRESS[ending](np.random.default_rng(1).bytes(50_000))
    damaged = bytearray(intact)
    damaged[len(intact) * 3 // 4] ^= 0xFF
    contents = [intact[:-20], intact[:20_000], bytes(damaged)]
    for content in contents[: 2 if ending == "zst" else 3]:  # pyarrow writes no checksum
        path.write_bytes(content)
        with pytest.raises(HlnError, match=r"log\.\w+ (is not a valid|ends in the middle)"):
            list(read_blocks(cut_text(opened(path), 1000)[0], 1000))


@pytest.mark.parametrize("content", [b"more", b"\0" * 8])
def test_what_follows_gzip_data_is_no_log(tmp_path, content):
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"a\n")[: -8 if content[:1] == b"\0" else None] + content)
    with pytest.raises(HlnError, match="is not a valid gzip file"):
        list(read_blocks(cut_text(opened(path), 1000)[0], 1000))


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_name_of_another_compression_is_refused(tmp_path, ending):
    path = tmp_path / f"log.{ending}"
    path.write_bytes(b"1,a,b,c\n")
    with pytest.raises(HlnError, match=rf"is not a \w+ file although its name ends in \.{ending}"):
        opened(path)


@pytest.mark.parametrize("names", [(), ("a.csv", "b.csv")])
def test_an_archive_of_several_files_is_refused(tmp_path, names):
    path = tmp_path / "logs.zip"
    path.write_bytes(zipped(b"1,a,b,c\n", names))
    with pytest.raises(HlnError, match=f"holds {len(names)} files .* expected one: unpack it"):
        opened(path).open_text()


@pytest.mark.slow
@settings(deadline=None)
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
