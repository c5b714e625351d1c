"""The notebooks run from top to bottom, and are stored without outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# Runs the code cells of a notebook; as in Jupyter, tracebacks and AutoGraph find their source.
RUN = """
import json, linecache, sys
cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
names = {"__name__": "__main__"}
for cell in cells:
    if cell["cell_type"] == "code":
        source, name = "".join(cell["source"]), cell["id"]
        linecache.cache[name] = (len(source), None, cell["source"], name)
        exec(compile(source, name, "exec"), names)
"""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == {
        "dataframe_to_recommendations",
        "own_model",
        "preference_groups",
    }


@every_notebook
def test_a_notebook_has_no_outputs_and_no_paths_of_a_machine(path):
    text = path.read_text("utf-8")
    notebook = json.loads(text)
    assert (notebook["nbformat"], notebook["metadata"]["language_info"]) == (4, {"name": "python"})
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"][0].startswith("# ")
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
        assert not any(folder in "".join(cell["source"]) for folder in ("/home/", "/tmp/", "/root"))


@every_notebook
@pytest.mark.slow
def test_a_notebook_runs(path, tmp_path):
    environment = {
        **os.environ,
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-c", RUN, str(path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "WARNING:tensorflow" not in done.stderr, done.stderr[-4000:]
