"""The real command in a process of its own: exit codes, one sentence, nothing left behind."""

import gzip
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

GOOD = "1,2014-09-24T09:58:32.124Z,2,0\n1,2014-09-24T09:58:33Z,3,0\n"


def run(directory, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "beam_preprocess", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["raw does not exist", "--input"]),
        (b"", ["raw is empty"]),
        (b"\n", ["raw is empty"]),
        (b"a b\n", ["raw, line 1", "'a b'", "expected 4 columns", "--dataset"]),
        (gzip.compress(GOOD.encode())[:-9], ["truncated"]),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, words):
    if content is not None:
        (tmp_path / "raw").write_bytes(content)
    refused(tmp_path, 1, words, "--dataset", "sample", "--input", "raw", "--output", "out")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD + "1,2014-09-24T09:58Z,3,0\n", ["1 of 3 rows", "raw, line 3", "--max_malformed"]),
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


def test_a_directory_of_others_is_not_touched(tmp_path):
    (tmp_path / "raw").write_text(GOOD)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis").write_text("")
    arguments = ["--dataset", "sample", "--input", "raw", "--output", "out", "--overwrite"]
    refused(tmp_path, 1, ["out holds other files"], *arguments)


def test_help_answers_at_once(tmp_path):
    started = time.monotonic()
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert "--train_fraction" in done.stdout
    code = "import beam_preprocess.__main__, beam_preprocess.report, sys; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"apache_beam", "matplotlib", "pyarrow", "tensorflow"} & set(loaded)
    assert time.monotonic() - started < 20  # a machine under load; alone it takes 0.1 s


def long_log(path):
    rows = (
        f"{n // 3},2014-04-{1 + n // 1000:02d}T10:00:{n % 60:02d}Z,{n % 50},0"
        for n in range(20_000)
    )
    path.write_text("\n".join(rows))


def test_full_disk(tmp_path):
    """A limit on the size of files stands for a full disk."""
    long_log(tmp_path / "raw")
    limit = (4096, 4096)
    arguments = ["--dataset", "sample", "--input", "raw", "--output", "out"]
    refused(
        tmp_path,
        1,
        ["cannot be written", "free some space"],
        *arguments,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )


def test_killed_in_the_middle(tmp_path):
    long_log(tmp_path / "raw")
    command = [sys.executable, "-m", "beam_preprocess", "--dataset", "sample"]
    command += ["--input", "raw", "--output", "out", "--block_bytes", "2000"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".out*")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    done = run(tmp_path, "--dataset", "sample", "--input", "raw", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "50 items" in done.stdout
    assert (tmp_path / "out" / "manifest.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def refused(directory, code, words, *arguments, **options):
    before = sorted(directory.rglob("*"))
    done = run(directory, *arguments, **options)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert sorted(directory.rglob("*")) == before
