"""The notebooks are stored without outputs; tests/docs/test_site.py executes them."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

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
