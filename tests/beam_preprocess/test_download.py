"""Downloads of public logs from a local server that answers well, badly and in pieces."""

import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from types import SimpleNamespace

import py7zr
import pytest
from commands import ROOT, finish, run, start
from mirror import Served, running

from beam_preprocess.download import catalogue, transfer
from hln_tf.common.files import process_lock
from hln_tf.data.sources import SOURCES

COMMAND = "beam_preprocess.download.__main__"
NAME = "yoochoose-clicks.dat"
ROWS = "".join(
    f"{row // 3},2014-04-07T10:51:09.277Z,{row * 7919 % 5000},0\n" for row in range(9_000)
)
DATA = ROWS.encode()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "_PAUSE", 0)
    monkeypatch.setattr(transfer, "_CHUNK", 1 << 12)
    with running() as found:
        yield found


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """Write a catalogue whose mirrors are paths of the server."""

    def write(*paths, **facts):
        entry = {
            "title": "Clicks",
            "page": "https://example.org/clicks",
            "file": NAME,
            "licence": "for tests alone",
            "licence_source": "https://example.org/licence",
            "lines_source": "https://example.org/lines",
            "checksum_source": "https://example.org/checksum",
            **facts,
        }
        lines = ["[yoochoose]", *(f"{name} = {json.dumps(value)}" for name, value in entry.items())]
        for path in paths:
            lines += ["[[yoochoose.mirrors]]", f'url = "{server.url}{path}"', 'source = "a paper"']
            lines += ["tried = false"]
        (tmp_path / "catalogue.toml").write_text("\n".join(lines))
        monkeypatch.setattr(catalogue, "CATALOGUE", tmp_path / "catalogue.toml")

    return write


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


def download(raw, *flags):
    return run(COMMAND, "yoochoose", "--raw_dir", raw, "--accept_license", *flags)


def as_7z():
    file = io.BytesIO()
    with py7zr.SevenZipFile(file, "w") as archive:
        archive.writestr("other", "yoochoose-buys.dat")
        archive.writestr(ROWS, NAME)
    return file.getvalue()


def as_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/other.dat", "other")
        archive.writestr(f"data/{NAME}", ROWS)
    return file.getvalue()


def as_tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in (("set/README", b"read"), (f"set/{NAME}", DATA)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def damaged(content):
    """Change bytes in the middle."""
    middle = len(content) // 2
    return (
        content[:middle]
        + bytes(255 - byte for byte in content[middle : middle + 9])
        + (content[middle + 9 :])
    )


ARCHIVES = {"7z": as_7z, "zip": as_zip, "tar.gz": as_tar, "plain": lambda: DATA}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_log_is_downloaded_unpacked_checked_and_recorded(server, published, raw, kind):
    server.files["/a"] = Served(ARCHIVES[kind]())
    published("/a", lines=9000, checksum=f"md5:{hashlib.md5(DATA).hexdigest()}")
    outcome = download(raw)
    assert outcome.code == 0, outcome.err
    assert (raw / NAME).read_bytes() == DATA
    digest = hashlib.sha256(DATA).hexdigest()
    assert f"wrote {raw}/{NAME}: 9,000 lines, {len(DATA) / 1e6:.1f} MB" in outcome.out
    assert digest in outcome.out
    assert json.loads((raw / f"{NAME}.download.json").read_text()) == {
        "url": f"{server.url}/a",
        "bytes": len(DATA),
        "lines": 9000,
        "sha256": digest,
    }
    training = f"python -m hln_tf.train --dataset yoochoose64 --raw_dir {raw}"
    assert outcome.err.splitlines()[-1] == f"to train on it: {training}"
    assert sorted(os.listdir(raw)) == [NAME, f"{NAME}.download.json"]


def test_an_encoding_that_was_not_asked_for_is_undone(server, published, raw):
    server.files["/a"] = Served(as_tar(), encoding="gzip")
    published("/a", lines=9000)
    outcome = download(raw)
    assert outcome.code == 0, outcome.err
    assert (raw / NAME).read_bytes() == DATA


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_a_log_that_is_there_is_not_downloaded(server, published, raw, name):
    published("/a")
    raw.mkdir()
    (raw / name).write_text("mine")
    outcome = run(COMMAND, "yoochoose", "--raw_dir", raw)
    assert outcome.code == 0
    assert outcome.err == f"{raw}/{name} is there already: nothing to do\n"
    assert not server.requests


def test_the_licence_is_shown_and_nothing_is_downloaded_before_it_is_accepted(
    server, published, raw, monkeypatch
):
    server.files["/a"] = Served(DATA)
    published("/a", archive_bytes=304_719_974)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    outcome = run(COMMAND, "yoochoose", "--raw_dir", raw)
    assert (
        outcome.sentence(2) == "--accept_license is missing: read the licence above, then pass it"
    )
    assert "licence: for tests alone (https://example.org/licence)" in outcome.err
    assert "size: download about 304.7 MB" in outcome.err
    assert f"{server.url}/a (untried, named by a paper)" in outcome.err
    answers = iter(["no\n", "", "y\n"])
    terminal = SimpleNamespace(isatty=lambda: True, readline=lambda: next(answers))
    monkeypatch.setattr(sys, "stdin", terminal)
    for _ in range(2):
        outcome = run(COMMAND, "yoochoose", "--raw_dir", raw)
        assert outcome.code == 1
        assert outcome.err.endswith("error: the licence is not accepted: nothing was downloaded\n")
    assert not server.requests and not raw.exists()
    assert run(COMMAND, "yoochoose", "--raw_dir", raw).code == 0
    assert (raw / NAME).read_bytes() == DATA


def test_a_transfer_that_breaks_goes_on_where_it_broke(server, published, raw):
    server.files["/a"] = Served(DATA, breaks=(100_000, 0, 150_000, 0, None))
    published("/a", lines=9000)
    outcome = download(raw)
    assert outcome.code == 0, outcome.err
    assert (raw / NAME).read_bytes() == DATA
    starts = [int(asked[6:-1]) for _, asked in server.requests if asked]
    assert starts and starts == sorted(starts) and starts[0] >= 90_000


def test_a_download_goes_on_with_the_next_command(server, published, raw):
    server.files["/a"] = Served(DATA, breaks=(100_000, 0))
    published("/a", lines=9000)
    sentence = download(raw).sentence()
    assert f"{server.url}/a broke off the transfer" in sentence
    assert "run the same command again" in sentence and "https://example.org/clicks" in sentence
    assert not (raw / NAME).exists()
    server.files["/a"].breaks = (0, None)
    server.requests.clear()
    assert download(raw).code == 0
    assert (raw / NAME).read_bytes() == DATA
    # The request without a range may take the break of the next one, which is then repeated.
    starts = [int(asked[6:-1]) for _, asked in server.requests if asked]
    assert starts and min(starts) >= 90_000


@pytest.mark.parametrize("change", [{"ranges": False}, {"version": '"2"'}])
def test_a_download_begins_again_where_the_server_cannot_go_on(server, published, raw, change):
    """It sends no parts, or has another file now."""
    server.files["/a"] = Served(DATA[::-1] if "version" in change else DATA, breaks=(100_000, 0))
    published("/a")
    assert download(raw).code == 1
    server.files["/a"] = Served(DATA, **change)
    assert download(raw).code == 0
    assert (raw / NAME).read_bytes() == DATA


BAD = {
    "missing": (Served(status=404), "answers 404 (Not Found)"),
    "failing": (Served(status=503), "answers 503 (Service Unavailable)"),
    "page": (Served(b"<html>", kind="text/html; charset=utf-8"), "answers with a web page instead"),
    "other": (
        Served(b"1,2"),
        f"has the MD5 {hashlib.md5(b'1,2').hexdigest()}, but https://example",
    ),
    "damaged 7z": (Served(damaged(as_7z())), "the archive is damaged ("),
    "short 7z": (Served(as_7z()[:-40]), "the archive is damaged ("),
    "damaged zip": (Served(damaged(as_zip())), "the archive is damaged ("),
    "damaged tar": (Served(damaged(as_tar())), "the archive is damaged ("),
    "short tar": (Served(as_tar()[:-5000]), "the archive is damaged ("),
    "empty zip": (Served(b"PK\x05\x06" + bytes(18)), f"the archive has no file {NAME}"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mirror_that_fails_is_named_and_the_next_one_serves(server, published, raw, case):
    server.files["/bad"], words = dataclasses.replace(BAD[case][0]), BAD[case][1]
    server.files["/good"] = Served(as_zip())
    checksum = f"md5:{hashlib.md5(DATA).hexdigest()}"
    published("/bad", checksum=checksum)
    sentence = download(raw).sentence()
    assert f"{server.url}/bad" in sentence and words in sentence, sentence
    assert not (raw / NAME).exists()
    published("/bad", "/good", checksum=checksum)
    outcome = download(raw)
    assert outcome.code == 0, outcome.err
    assert any(line.startswith("note: ") and words in line for line in outcome.err.splitlines())
    assert (raw / NAME).read_bytes() == DATA


def test_a_server_that_is_not_there_is_named(published, raw):
    published("/a")
    url = "http://127.0.0.1:9/clicks"
    assert f"{url} cannot be reached" in download(raw, "--url", url).sentence()


def test_the_number_of_lines_is_checked_where_no_checksum_is_published(server, published, raw):
    server.files["/a"] = Served(DATA)
    published("/a", lines=33_003_944)
    words = "has 9,000 lines, but https://example.org/lines states 33,003,944"
    assert words in download(raw).sentence()
    assert not (raw / NAME).exists()


def test_a_later_download_must_be_the_first_one_again(server, published, raw):
    server.files["/a"] = Served(DATA)
    published("/a")
    assert download(raw).code == 0
    (raw / NAME).unlink()
    server.files["/a"] = Served(DATA[::-1], version='"2"')
    record = raw / f"{NAME}.download.json"
    assert f"but the first download had {hashlib.sha256(DATA).hexdigest()}: remove {record}" in (
        download(raw).sentence()
    )
    record.unlink()
    assert download(raw).code == 0
    assert (raw / NAME).read_bytes() == DATA[::-1]


def test_too_little_space_is_known_before_the_transfer(server, published, raw, monkeypatch):
    server.files["/a"] = Served(DATA)
    published("/a")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    sentence = download(raw).sentence()
    assert f"needs {len(DATA) / 1e6:.1f} MB more and has 0.0 MB free" in sentence
    assert "--raw_dir" in sentence


def test_a_disk_that_is_full_is_named_and_the_download_goes_on_later(
    server, published, raw, monkeypatch
):
    server.files["/a"] = Served(DATA)
    published("/a")
    monkeypatch.setattr(transfer, "open", lambda *_: open("/dev/full", "wb"), raising=False)
    sentence = download(raw).sentence()
    assert sentence.startswith(f"{raw}/.download-yoochoose/")
    assert "No space left on device; free some space" in sentence
    monkeypatch.delattr(transfer, "open")
    assert download(raw).code == 0


def test_two_downloads_of_one_log_do_not_meet(server, published, raw):
    published("/a")
    with process_lock(raw / ".download-yoochoose" / "lock", "the log", "wait"):
        sentence = download(raw).sentence()
    assert f"{raw}/{NAME} is in use by process {os.getpid()}: another process" in sentence
    assert not server.requests


def test_a_directory_that_cannot_be_written_is_named(server, published, tmp_path):
    published("/a")
    (tmp_path / "file").touch()
    assert f"{tmp_path}/file" in download(tmp_path / "file").sentence()


@pytest.mark.parametrize("flag", ["mirror.example", "ftp://mirror.example/a", "file:///etc/passwd"])
def test_a_url_of_ones_own_is_one_of_http(raw, flag):
    sentence = download(raw, "--url", flag).sentence(2)
    assert sentence == f"--url is {flag!r}, expected one that begins with https://"


def test_a_url_of_ones_own_replaces_the_mirrors(server, published, raw):
    server.files["/mine"] = Served(as_zip())
    published("/gone")
    assert download(raw, "--url", f"{server.url}/mine").code == 0
    assert {path for path, _ in server.requests} == {"/mine"}


def test_an_archive_cannot_write_elsewhere(server, published, raw):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo(f"../../{NAME}")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    server.files["/a"] = Served(file.getvalue())
    published("/a")
    assert "the archive is damaged (" in download(raw).sentence()
    assert not list(raw.parent.glob(NAME)) and not (raw / NAME).exists()


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_download_goes_on(server, raw, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run in the background, where this signal is ignored")
    server.files["/a"] = Served(DATA * 9, breaks=(1_000_000,), stalls=threading.Event())
    flags = ("--raw_dir", raw, "--accept_license", "--url", f"{server.url}/a")
    process = start("beam_preprocess.download", "retailrocket", *flags)
    work = raw / ".download-retailrocket"
    while not sum(path.stat().st_size for path in work.glob("*.part")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    outcome = finish(process)
    server.files["/a"].stalls.set()
    assert outcome.code == 128 + number
    assert "to go on with this download, run the same command again" in outcome.err
    assert "Traceback" not in outcome.err
    server.files["/a"] = Served(DATA * 9)
    server.requests.clear()
    assert "events.csv has the SHA256" in run(COMMAND, "retailrocket", *flags).sentence()
    assert [path for path, asked in server.requests if asked] == ["/a"]


def test_help_imports_no_heavy_library():
    code = f"import sys, {COMMAND}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split()
    assert not {"requests", "py7zr", "apache_beam", "tensorflow", "pyarrow"} & set(loaded)


def test_the_catalogue_has_each_log_that_is_not_generated_and_a_source_for_each_fact():
    logs = catalogue.read_catalogue()
    assert {source.download for source in SOURCES.values() if source.download} == set(logs)
    for name, source in SOURCES.items():
        assert bool(source.download) != bool(source.generator), name
        if source.download:
            assert logs[source.download].file == source.file
    for log in logs.values():
        assert log.mirrors and log.licence and log.licence_source
        assert all(each.url.startswith("http") and each.source for each in log.mirrors)
        assert bool(log.checksum) == bool(log.checksum_source)
        assert bool(log.lines) == bool(log.lines_source)
        assert bool(log.archive_bytes or log.file_bytes) == bool(log.sizes_source)
        if log.checksum:
            algorithm, digits = log.checksum.split(":")
            assert len(bytes.fromhex(digits)) == hashlib.new(algorithm).digest_size
