"""Data sets from real engines, whose workers are threads of the command or processes of their own.

`make test-engines` runs these tests alone. `HLN_TF_CLICKS` may name a log of Yoochoose's format.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import digests
from object_store import bucket, running

from beam_preprocess.generate import LogSettings, generate

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
ENGINES = ["prism", "prism server", "flink", "spark"]
on_each_engine = pytest.mark.parametrize("engine", ENGINES, indirect=True)
on_each_kind_of_workers = pytest.mark.parametrize("workers", ["loopback", "processes"])


def command(log, output, *flags):
    arguments = ["--dataset", "sample", "--input", log, "--output", output, *flags]
    return [sys.executable, "-m", "beam_preprocess", *map(str, arguments)]


def prepare(log, output, *flags, raw=None):
    """Run the command from elsewhere, and return its exit code and its last line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command(raw or log, output, *flags),
        cwd=log.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stderr.splitlines()
    return done.returncode, lines[-1] if lines else ""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Generate a log of several blocks, and the digests of its data set from this process."""
    directory = tmp_path_factory.mktemp("engines")
    generate(LogSettings(output=str(directory / "log"), clicks=50_000))
    flags = ("--train_fraction", "1/2", "--block_bytes", "200000")
    assert prepare(directory / "log", directory / "data", *flags)[0] == 0
    return directory / "log", flags, digests(directory / "data")


def worker_flags(workers, request):
    if workers == "loopback":
        return ["--environment_type", "LOOPBACK"]
    return request.getfixturevalue("worker_pool")[1]


@on_each_kind_of_workers
@on_each_engine
def test_same_bytes(log, engine, workers, request, tmp_path):
    path, flags, expected = log
    code, error = prepare(path, tmp_path / "data", *flags, *engine, *worker_flags(workers, request))
    assert code == 0, error
    assert digests(tmp_path / "data") == expected


@on_each_kind_of_workers
@on_each_engine
def test_same_bytes_in_an_object_store(log, engine, workers, request, tmp_path):
    path, flags, expected = log
    with running() as server, bucket(server, tmp_path / "cache") as store:
        store.put("log", path.read_bytes())
        output = "s3://clicks/data"
        more = worker_flags(workers, request)
        code, error = prepare(path, output, *flags, *engine, *more, raw="s3://clicks/log")
        assert code == 0, error
        assert store.digests("data") == expected


@on_each_kind_of_workers
@on_each_engine
@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (b"1,2,3\n" * 900, "900 of 50,900 rows are malformed, first {log}, line 50001: '1,2,3'"),
        (b"7,2014-04-07T10:51:09.277Z,\xff,0\n", "{log}, line 50001 is not UTF-8 text (byte 0xff)"),
    ],
    ids=["malformed", "not UTF-8"],
)
def test_bad_input_is_the_same_sentence(log, engine, workers, rows, sentence, request, tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(log[0].read_bytes() + rows)
    expected = prepare(bad, tmp_path / "data")
    assert expected[1].startswith(f"error: {sentence.format(log=bad)}")
    found = prepare(bad, tmp_path / "data", *engine, *worker_flags(workers, request))
    assert found == expected
    assert not (tmp_path / "data").exists()


@on_each_engine
def test_a_killed_worker_leaves_nothing_that_looks_finished(log, engine, worker_pool, tmp_path):
    path, flags, expected = log
    pool, pool_flags = worker_pool
    output = tmp_path / "out" / "data"
    output.parent.mkdir()
    process = subprocess.Popen(
        command(path, output, *flags, *engine, *pool_flags),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    worker = None
    while worker is None:
        assert process.poll() is None
        found = subprocess.run(
            ["pgrep", "-P", str(pool.pid)], capture_output=True, text=True
        ).stdout.split()
        worker = int(found[0]) if found else None
        time.sleep(0.05)
    wait_until_loaded(worker)
    os.kill(worker, signal.SIGKILL)
    _, printed = process.communicate(timeout=400)
    if process.returncode == 0:
        assert digests(output) == expected
        return
    assert process.returncode == 1
    last = printed.splitlines()[-1]
    assert last.startswith("error: ") and "run the same command again" in last, printed
    assert "Traceback" not in printed
    assert list(output.parent.iterdir()) == []


def wait_until_loaded(process):
    """Wait until a worker has loaded the pipeline's code for its first step."""
    maps = Path(f"/proc/{process}/maps")
    for _ in range(1200):
        if "_crc32c" in maps.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the worker does not start")


@on_each_engine
@pytest.mark.parametrize("fraction", ["1/2", "1/128"])
def test_real_log(engine, fraction, worker_pool, tmp_path):
    raw = os.environ.get("HLN_TF_CLICKS")
    if not raw:
        pytest.skip("HLN_TF_CLICKS does not name a raw log")
    flags = ("--train_fraction", fraction)
    assert prepare(Path(raw), tmp_path / "here", *flags)[0] == 0
    code, error = prepare(Path(raw), tmp_path / "there", *flags, *engine, *worker_pool[1])
    assert code == 0, error
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    stats = json.loads((tmp_path / "there" / "stats.json").read_text())
    expected = int(stats["full_train"]["prefixes"] / int(fraction[2:]))
    assert stats["train_all"]["prefixes"] == expected
