"""Rows of `--models`."""

from benchmarks.model_preset import ModelPreset
from benchmarks.table1 import Job, train_flags


def test_a_model_that_counts_has_few_flags_and_one_run():
    given = {"epochs": 3, "max_length": 7, "refit": False}
    assert train_flags(Job(ModelPreset.parse("s_pop"), 1), given) == [
        *("--model", "s_pop", "--preset", "paper", "--no-refit", "--max_length", "7")
    ]
    assert train_flags(Job(ModelPreset.parse("hln:tuned"), 4), {"epochs": 3}) == [
        *("--model", "hln", "--preset", "tuned", "--refit", "--epochs", "3", "--seed", "4")
    ]
    assert ModelPreset.parse("sknn").seeds((2, 3)) == (1,)
    assert ModelPreset.parse("stamp").seeds((2, 3)) == (2, 3)


def test_a_model_with_settings_is_a_row_of_its_own():
    model = ModelPreset.parse("hln:embedding:num_groups=1,exclusive_groups=True,normalize=False")
    assert str(model) == "hln (embedding, exclusive_groups True, normalize False, num_groups 1)"
    assert model.flags[4:] == ["--exclusive_groups", "--no-normalize", "--num_groups", "1"]
    assert model == ModelPreset.parse(
        "hln:embedding:normalize=False,exclusive_groups=True,num_groups=1"
    )
    of_model, _ = model.settings()
    assert (of_model.num_groups, of_model.exclusive_groups, of_model.normalize) == (1, True, False)
    assert of_model.dropout == 0.4  # the preset's
