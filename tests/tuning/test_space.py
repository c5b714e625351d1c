import dataclasses
import math

import keras_tuner
import numpy as np
import pytest

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import Range
from hln_tf.models import HLNSettings
from hln_tf.training import TrainingSettings
from tuning.space import Hyperparameter, Space


@pytest.mark.parametrize("settings", [HLNSettings(num_groups=7), TrainingSettings(batch_size=50)])
def test_the_defaults_of_the_space_are_the_settings(settings):
    space = Space.from_settings([settings])
    sampled = {each.name: each.default for each in space.declare().space}
    assert space.apply(sampled, settings) == settings


@pytest.mark.parametrize("settings", [HLNSettings(), TrainingSettings()])
def test_the_space_is_the_declared_search_fields(settings):
    declared = {f.name for f in dataclasses.fields(settings) if f.metadata["search"] is not None}
    assert declared
    assert {
        parameter.name for parameter in Space.from_settings([settings]).declare().space
    } == declared


def test_a_sampled_value_replaces_its_setting_only():
    settings = HLNSettings(hidden_dim=9)
    space = Space.from_settings([settings], ["num_groups"])
    assert space.apply({"num_groups": 2, "tuner/epochs": 3}, settings) == HLNSettings(
        hidden_dim=9, num_groups=2
    )


def test_sampled_values_have_the_range_and_type_of_their_setting():
    parts = [HLNSettings(), TrainingSettings()]
    space = Space.from_settings(parts, None, ["num_groups=2:9", "temperature=0.5:1"])
    random = np.random.default_rng(0)
    for _ in range(100):
        sampled = {p.name: p.prob_to_value(random.random()) for p in space.declare().space}
        values = space.values(sampled)
        assert 2 <= values["num_groups"] <= 9 and isinstance(values["num_groups"], int)
        assert 0.5 <= values["temperature"] <= 1 and isinstance(values["temperature"], float)
        [space.apply(sampled, part) for part in parts]


def test_a_sampled_integer_does_not_exceed_its_range():
    batch_size = Hyperparameter("batch_size", Range(64, 512, log=True), 64)
    hyperparameters = keras_tuner.HyperParameters()
    batch_size.declare(hyperparameters)
    assert hyperparameters.space[0].prob_to_value(1.0) == 513, "what KerasTuner may sample"
    assert batch_size.value(513) == 512


def test_a_default_survives_a_message_of_32_bit_floats_exactly():
    rate = Hyperparameter("learning_rate", Range(0.0001, 0.1, log=True), 0.00123456789)
    assert rate.value(float(np.float32(0.00123456789))) == 0.00123456789
    assert rate.value(float(np.float32(0.01))) == 0.01
    assert rate.value(0.2) == 0.1


def test_a_logarithmic_range_is_centred_on_a_default_outside_of_it():
    """Presets have learning rates of different orders of magnitude."""
    training = TrainingSettings(learning_rate=0.5, batch_size=32)
    space = Space.from_settings([training], ["learning_rate", "batch_size"])
    found = {each.name: each.domain for each in space.hyperparameters}
    # The declared ranges are 3e-4 to 1e-2 and 64 to 512; the ratio of their bounds is unchanged.
    assert found["learning_rate"].high / found["learning_rate"].low == pytest.approx(1e-2 / 3e-4)
    middle = math.sqrt(found["learning_rate"].low * found["learning_rate"].high)
    assert middle == pytest.approx(0.5)
    assert (found["batch_size"].low, found["batch_size"].high) == (11, 91)
    (given,) = Space.from_settings(
        [training], ["batch_size"], ["batch_size=64:128"]
    ).hyperparameters
    assert (given.domain.low, given.domain.high) == (64, 128)


def test_a_default_outside_its_range_stays_the_default():
    space = Space.from_settings([TrainingSettings()], None, ["learning_rate=0.005:0.01"])
    assert space.values({"learning_rate": 0.001, "batch_size": 64})["learning_rate"] == 0.001


@pytest.mark.parametrize(
    ("names", "ranges", "words"),
    [
        (["wings"], [], ["--search", "'wings'", "no hyperparameter", "num_groups", "batch_size"]),
        (["hidden_dim"], [], ["--search", "'hidden_dim'", "learning_rate"]),
        (None, ["wings=1:2"], ["--range", "'wings'", "num_groups"]),
        (None, ["num_groups"], ["--range", "num_groups=LOW:HIGH", "whole numbers"]),
        (None, ["num_groups=1.5:3"], ["whole numbers"]),
        (None, ["dropout=a:b"], ["dropout=LOW:HIGH"]),
        (None, ["dropout=0.1:0.2:0.3"], ["dropout=LOW:HIGH"]),
        (None, ["dropout=0.3:0.1"], ["dropout=0.3:0.1", "minimum", "maximum", "LOW below HIGH"]),
        (None, ["dropout=0.3:0.3"], ["LOW below HIGH"]),
        (None, ["dropout=nan:0.3"], ["LOW below HIGH"]),
        (None, ["dropout=0.3:1"], ["dropout=0.3:1", "`dropout` is 1.0", "below 1.0"]),
        (None, ["learning_rate=0:1"], ["`learning_rate` is 0.0", "more than 0"]),
        (None, ["leap_bias=0:inf"], ["`leap_bias` is inf", "finite"]),
        (None, ["aggregation=0:1"], ["'aggregation'", "one of: sum, max, attention"]),
        (None, ["dropout=0:0.1", "dropout=0:0.2"], ["'dropout'", "twice"]),
        (["num_groups"], ["dropout=0:0.1"], ["'dropout'", "--search leaves out"]),
    ],
)
def test_invalid_names_and_ranges_are_rejected(names, ranges, words):
    with pytest.raises(UsageError) as caught:
        Space.from_settings([HLNSettings(), TrainingSettings()], names, ranges)
    assert all(word in str(caught.value) for word in words), caught.value
