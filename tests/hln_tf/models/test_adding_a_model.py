"""What the README says: a model is one file and one line in the registry."""

import json
import re
import sys
from pathlib import Path

import pytest
from commands import run

from hln_tf.models.registry import MODELS, ModelEntry
from hln_tf.models.settings import EncoderSettings

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Does what the README's example shows: the name of the new model."""
    section = README.read_text("utf-8").split("### A model of your own", 1)[1]
    source, line = re.findall(r"```python\n(.*?)```", section, re.S)[:2]
    name = re.search(r'^"(\w+)"', line)[1]
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    line = line.replace("hln_tf.models.", "")
    names = {"ModelEntry": ModelEntry, "EncoderSettings": EncoderSettings}
    for key, entry in eval(f"{{{line}}}", names).items():
        monkeypatch.setitem(MODELS, key, entry)
    yield name
    sys.modules.pop(name, None)


def test_a_file_and_a_line_make_a_model(added, data, tmp_path):
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run")
    size = ("--embedding_dim", "8", "--epochs", "1")
    outcome = run("hln_tf.train", "--model", added, *where, *size)
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["model"] == added
    outcome = run("hln_tf.recommend", "--workdir", tmp_path / "run", "--session", "i1 i4", "-k", 3)
    assert outcome.code == 0, outcome.err
    assert len(outcome.out.splitlines()) == 3
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()
