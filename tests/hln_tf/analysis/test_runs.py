"""Damaged files of a run are named, with a remedy."""

import json

import pytest

from hln_tf.analysis.runs import find_results, read_config, read_settings
from hln_tf.common.errors import HlnError


@pytest.mark.parametrize("read", [read_config, read_settings])
@pytest.mark.parametrize("content", ["", "{", "[]", "5", '{"model_settings": []}'])
def test_a_damaged_config_is_named(tmp_path, read, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(HlnError, match=r"config\.json is not .*: (restore it|name the `workdir`)"):
        read(tmp_path)


@pytest.mark.parametrize(
    "content", [{"model": "hln"}, {"data": {"dataset": "x"}}, {"model": 5, "data": {"dataset": 5}}]
)
def test_a_config_without_model_or_data_set_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(HlnError, match=r"config\.json is not a run's config"):
        read_config(tmp_path)


def test_settings_of_model_and_training(tmp_path):
    assert read_settings(tmp_path) == {}
    content = {"model_settings": {"gates": "both"}, "training": {"epochs": 2}, "model": "hln"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_settings(tmp_path) == {"gates": "both", "epochs": 2}


def test_results_of_an_unfinished_and_of_a_damaged_run(tmp_path):
    assert find_results(tmp_path) is None
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(HlnError, match=r"metrics\.json is not valid JSON .*: remove it"):
        find_results(tmp_path)
