"""Runs on data sets at hand, and evaluation of sessions with unknown items."""

import numpy as np
import pytest
import tensorflow as tf
import toy
from small_hln import NUM_ITEMS, make_model

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.dataset import SessionDataset
from hln_tf.data.sessions import Sessions
from hln_tf.models.registry import model_entry
from hln_tf.training.evaluation import evaluate_sessions
from hln_tf.training.fitting import check_settings, fit_dataset, run_config
from hln_tf.training.run_directory import RunDirectory

TRAIN = [[1, 2, 3], [3, 1], [2, 2, 4], [4, 1]]


def dataset_of(directory, **splits):
    toy.write_dataset(directory, splits, num_items=4)
    return SessionDataset.from_directory(directory)


def test_settings_override_those_of_the_preset(tmp_path):
    dataset = dataset_of(tmp_path, train=TRAIN)
    first = run_config(dataset, "hln", None, {"epochs": 3, "num_groups": 2})
    assert (first.training.epochs, first.model_settings.num_groups) == (3, 2)
    assert first.data.items == 4
    assert first.init_from is None
    preset = model_entry("hln").presets["tuned"]
    tuned = run_config(dataset, "hln", "tuned", {"epochs": 3}, RunDirectory(tmp_path / "older"))
    assert (tuned.training.epochs, tuned.training.decay) == (3, preset["decay"])
    assert tuned.model_settings.dropout == preset["dropout"]
    assert tuned.init_from == str(tmp_path / "older")


def test_names_of_settings_are_checked_and_listed():
    check_settings("hln", ["epochs", "num_groups", "min_item_count", "separator"], True)
    with pytest.raises(TypeError) as caught:
        check_settings("sknn", ["epochs", "num_groups"], True)
    for word in ("'num_groups'", "sknn: ", "training: epochs", "protocol: train_fraction"):
        assert word in str(caught.value)
    with pytest.raises(TypeError, match="no setting 'separator'"):
        check_settings("hln", ["separator"], False)
    with pytest.raises(UsageError, match="`model` is 'hnl', expected one of: hln"):
        check_settings("hnl", [], True)


def test_a_data_set_without_a_test_part_is_fitted(tmp_path):
    dataset = dataset_of(tmp_path / "data", train=TRAIN, validation=[[1, 2]])
    config = run_config(dataset, "popularity", None, {"refit": True})
    results = fit_dataset(dataset, config, RunDirectory(tmp_path / "run"))
    assert results["sessions"] == {"train": 4, "validation": 1}
    assert results["trained_on"] == "train+validation"
    assert "test" not in results
    assert RunDirectory(tmp_path / "run").model().item_counts.numpy().tolist() == [4, 4, 2, 2]


@pytest.mark.parametrize(
    ("part", "splits"),
    [("train", {"validation": [[1, 2]]}), ("validation", {"train": TRAIN, "validation": [[1]]})],
)
def test_parts_without_examples_are_named(tmp_path, part, splits):
    dataset = dataset_of(tmp_path / "data", **splits)
    config = run_config(dataset, "popularity", None, {})
    with pytest.raises(HlnError, match=rf"the {part} part has no session .* `min_item_count`"):
        fit_dataset(dataset, config, RunDirectory(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def model():
    model = make_model()
    model.fit_counts(Sessions.from_lists([[1, 2, 3], [2, 4, 2], [12, 3, 2]]))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 1_000])
def test_sessions_with_unknown_items_are_evaluated(model, batch_size):
    max_length = 3
    random = np.random.default_rng(4)
    sessions = [
        random.integers(0, NUM_ITEMS + 1, length).astype(np.int32)
        for length in (5, 0, 1, 2, 2, 9, 2, 3)
    ]
    sessions += [np.array([0, 2], np.int32), np.array([0, 0, 7], np.int32)]
    popular = np.argsort(-model.item_counts.numpy(), kind="stable").tolist()
    ranks = []
    for session in sessions:
        for end in range(1, len(session)):
            known = session[:end][session[:end] > 0][-max_length:]
            target = session[end] - 1
            if target < 0:
                ranks.append(np.inf)
            elif len(known):
                scores = model.scores(tf.constant(known[None])).numpy()[0]
                ranks.append((scores >= scores[target]).sum())  # items that tie come first
            else:
                ranks.append(popular.index(target) + 1)
    ranks = np.array(ranks)
    found = evaluate_sessions(model, sessions, (1, 4), max_length, batch_size)
    flat, targets = (np.concatenate(parts) for parts in (sessions, [each[1:] for each in sessions]))
    expected = {
        "sessions": len(sessions),
        "examples": len(ranks),
        "unknown_clicks": int((flat == 0).sum()),
        "unknown_targets": int((targets == 0).sum()),
    }
    for k in (1, 4):
        expected[f"recall@{k}"] = (ranks <= k).mean()
        expected[f"mrr@{k}"] = np.where(ranks <= k, 1 / ranks, 0).mean()
    assert found == pytest.approx(expected)
    assert expected["unknown_targets"] > 1
