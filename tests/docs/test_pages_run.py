"""The code blocks of the documents run, and print what the pages say."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from documents import PAGES, ROOT, blocks

RUNNER = ROOT / "tests" / "page_runner.py"
# What a page's directory has at first: a small sample log, its data set, a run and its export.
BASE = """\
python -m beam_preprocess.sample generate --sessions 3000
python -m hln_tf.train --dataset sample --preset demo --epochs 3
python -m serving.export --workdir runs/sample/hln --output export/hln
"""


def runnable(page):
    return [block for block in blocks(page) if block.is_code and not block.reason]


def environment():
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    own = {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    return {**os.environ, **own, "PATH": os.pathsep.join(paths)}


def run(found, directory):
    """Run blocks in a directory and return the exit code and the errors."""
    values = [{**dataclasses.asdict(each), "page": "", "place": each.place} for each in found]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, str(RUNNER)],
            cwd=directory,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(values), timeout=1800)
        finally:
            with contextlib.suppress(ProcessLookupError):  # else a page left a server running
                os.killpg(process.pid, signal.SIGKILL)
        errors.seek(0)
        return process.returncode, errors.read()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    directory = tmp_path_factory.mktemp("base")
    subprocess.run(["bash", "-ec", BASE], cwd=directory, env=environment(), check=True)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if runnable(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_runs(page, base, tmp_path):
    directory = tmp_path / "page"
    shutil.copytree(base, directory)
    code, errors = run(
        [each for each in blocks(page) if each.is_code and not each.reason], directory
    )
    assert code == 0, errors[-6000:]


def page_of(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    return [dataclasses.replace(block, page=ROOT / "page.md") for block in blocks(page)]


def test_blocks_share_names_and_files_and_must_print_what_is_said(tmp_path):
    text = """\
```python
number = 1 / 3
open("here", "w").write("x")
```
```sh
cat here; sleep 600 &
```
<!-- output -->
```text
x
```
```python
print(number)
```
<!-- output -->
```text
0.33...
```
"""
    assert run(page_of(tmp_path, text), tmp_path) == (0, "")
    code, errors = run(page_of(tmp_path, text.replace("0.33", "0.34")), tmp_path)
    assert code == 1 and "page.md:13 prints\n0.333" in errors
    code, errors = run(page_of(tmp_path, text.replace("cat here", "false | cat")), tmp_path)
    assert code == 1 and "page.md:6 fails" in errors
    code, errors = run(page_of(tmp_path, text.replace("print(number)", "print(numbr)")), tmp_path)
    assert code == 1 and "NameError" in errors and "page.md:13" in errors
