"""The command: exit codes, errors of one sentence, no abandoned files."""

import contextlib
import functools
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from commands import Outcome, prepare

MIDNIGHT = 1_396_828_800  # 2014-04-07
GOOD = "1,2014-09-24T09:58:32.124Z,2,0\n1,2014-09-24T09:58:33Z,3,0\n"


def run(directory, *arguments):
    with contextlib.chdir(directory):
        return prepare(*arguments)


def run_process(directory, *arguments, **options):
    command = [sys.executable, "-m", "beam_preprocess", *arguments]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=120, **options
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["raw does not exist", "--input"]),
        (b"", ["raw is empty"]),
        (b"\n", ["raw is empty"]),
        (b"a b\n", ["raw, line 1", "'a b'", "expected 4 columns", "--dataset"]),
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], ["truncated"]),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, words):
    if content is not None:
        (tmp_path / "raw").write_bytes(content)
    refused(tmp_path, 1, words, "--dataset", "sample", "--input", "raw", "--output", "out")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD + "1,2014-09-24T9:58Z,3,0\n", ["1 of 3 rows", "raw, line 3", "--max_malformed"]),
        (GOOD * 2 + "1,2014-09-24T09:58:32Z,a b,0\n", ["'a b'", "separator ' '", "--separator"]),
        (
            GOOD,
            [
                "no session of the input is left",
                "--min_item_count",
                "2 read",
                "0 of frequent items",
            ],
        ),
        ((GOOD * 200).encode() + b"\xff", ["raw, line 401", "0xff", "UTF-8"]),
    ],
)
def test_logs_that_cannot_be_used(tmp_path, content, words):
    """Found by the workers of the pipeline."""
    (tmp_path / "raw").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(tmp_path, 1, words, "--dataset", "sample", "--input", "raw", "--output", "out")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ["--dataset is missing"]),
        (["--dataset", "other"], ["'other'", "yoochoose64"]),
        (["--dataset", "custom"], ["--dataset custom needs --spec"]),
        (["--dataset", "sample", "--spec", "raw"], ["--spec goes with --dataset custom"]),
        (["--dataset", "sample", "--train_fraction", "1/2,2"], ["--train_fraction is 2"]),
        (["--dataset", "sample", "--shard", "3"], ["'--shard' is neither"]),
        (["--dataset", "sample", "--direct_num_workers", "x"], ["direct_num_workers"]),
        (["--dataset", "sample", "--train_fraction", "2"], ["--train_fraction is 2"]),
    ],
)
def test_wrong_usage(tmp_path, flags, words):
    (tmp_path / "raw").write_text(GOOD)
    refused(tmp_path, 2, words, *flags, "--input", "raw", "--output", "out")


def test_a_directory_with_other_files_is_not_changed(tmp_path):
    (tmp_path / "raw").write_text(GOOD)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis").write_text("")
    arguments = ["--dataset", "sample", "--input", "raw", "--output", "out", "--overwrite"]
    refused(tmp_path, 1, ["out holds other files"], *arguments)


@pytest.mark.parametrize("kind", ["picture", "link", "directory"])
def test_what_a_data_set_has_not_is_another_file(tmp_path, kind):
    (tmp_path / "raw").write_text(GOOD)
    other = tmp_path / "out" / "train" / "other"
    other.parent.mkdir(parents=True)
    if kind == "picture":
        other.write_text("")
    elif kind == "link":
        other.symlink_to(tmp_path)
    else:
        other.mkdir()
    arguments = ["--dataset", "sample", "--input", "raw", "--output", "out", "--overwrite"]
    refused(tmp_path, 1, ["out holds other files"], *arguments)
    assert other.exists()


@pytest.mark.parametrize(
    ("module", "flags", "code"),
    [
        ("beam_preprocess", ["--help"], 0),
        ("beam_preprocess", [], 2),
        ("beam_preprocess", ["--input", "raw", "--output", "out"], 2),
        ("beam_preprocess", ["--dataset", "sample", "--input", "none", "--output", "out"], 1),
        ("beam_preprocess.report", ["--help"], 0),
        ("beam_preprocess.report", [], 2),
    ],
)
def test_help_and_errors_of_usage_import_no_heavy_library(tmp_path, module, flags, code):
    command = [sys.executable, "-X", "importtime", "-m", module, *flags]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    rows = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    imported = {row.rpartition("|")[2].strip() for row in rows}
    assert "beam_preprocess" in imported
    assert not {"apache_beam", "matplotlib", "pyarrow", "tensorflow"} & imported


def test_help_lists_the_settings(tmp_path):
    done = run_process(tmp_path, "--help")
    assert done.code == 0
    assert "--train_fraction" in done.out
    assert "--session_timeout" in done.out
    assert "--gap" not in done.out


def test_the_older_flag_of_the_session_timeout_is_accepted_with_a_notice(tmp_path):
    rows = [
        f"u{user},{MIDNIGHT + day * 86_400 + minute * 60},{(user + day + minute) % 25}"
        for user in range(40)
        for day in range(3)
        for minute in range(9)
    ]
    (tmp_path / "raw").write_text("\n".join(["user,time,item", *rows, ""]))
    columns = ["--user", "user", "--time", "time", "--time_format", "seconds", "--item", "item"]
    arguments = ["--dataset", "custom", *columns, "--input", "raw", "--output"]
    older = run(tmp_path, *arguments, "older", "--gap", "1800")
    assert older.code == 0, older.err
    assert older.err.startswith("note: the flag --gap was given, which is now called --session_")
    current = run(tmp_path, *arguments, "current", "--session_timeout", "1800")
    assert current.code == 0, current.err
    assert current.err == ""
    for name in ("manifest.json", "stats.json"):
        content = (tmp_path / "older" / name).read_text()
        assert content == (tmp_path / "current" / name).read_text()
        assert json.loads(content)["settings"]["session_timeout"] == 1800
        assert "gap" not in json.loads(content)["settings"]
    again = run(tmp_path, *arguments, "older", "--gap=60")
    assert again.code == 1
    assert "data set of other settings" in again.err


def write_long_log(path):
    rows = (
        f"{n // 3},2014-04-{1 + n // 1000:02d}T10:00:{n % 60:02d}Z,{n % 50},0"
        for n in range(20_000)
    )
    path.write_text("\n".join(rows))


def test_full_disk(tmp_path):
    """A full disk is simulated by a limit on the size of files."""
    write_long_log(tmp_path / "raw")
    limit = (4096, 4096)
    arguments = ["--dataset", "sample", "--input", "raw", "--output", "out"]
    refused(
        tmp_path,
        1,
        ["cannot be written", "free some space"],
        *arguments,
        run=functools.partial(
            run_process, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        ),
    )


def test_a_killed_run_leaves_no_output_and_can_be_repeated(tmp_path):
    write_long_log(tmp_path / "raw")
    command = [sys.executable, "-m", "beam_preprocess", "--dataset", "sample"]
    command += ["--input", "raw", "--output", "out", "--block_bytes", "2000"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".out*")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    done = run_process(tmp_path, "--dataset", "sample", "--input", "raw", "--output", "out")
    assert done.code == 0, done.err
    assert done.err == ""
    assert "50 items" in done.out
    assert (tmp_path / "out" / "manifest.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def refused(directory, code, words, *arguments, run=run):
    before = sorted(directory.rglob("*"))
    done = run(directory, *arguments)
    assert done.code == code, done.err
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err
    assert sorted(directory.rglob("*")) == before
