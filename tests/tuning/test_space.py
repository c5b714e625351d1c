import dataclasses

import keras_tuner
import pytest

from hln_tf.models.settings import HLNSettings
from hln_tf.training.settings import TrainingSettings
from tuning.space import draw


@pytest.mark.parametrize("settings", [HLNSettings(num_groups=7), TrainingSettings(batch_size=50)])
def test_the_first_draw_is_the_settings_themselves(settings):
    assert draw(keras_tuner.HyperParameters(), settings) == settings


@pytest.mark.parametrize("settings", [HLNSettings(), TrainingSettings()])
def test_the_space_is_the_declared_search_fields(settings):
    hyperparameters = keras_tuner.HyperParameters()
    draw(hyperparameters, settings)
    declared = {f.name for f in dataclasses.fields(settings) if f.metadata["search"] is not None}
    assert declared
    assert {parameter.name for parameter in hyperparameters.space} == declared


def test_a_drawn_value_takes_its_place_and_the_others_stay():
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("num_groups", [1, 2, 3, 4], default=3)
    hyperparameters.values["num_groups"] = 2
    assert draw(hyperparameters, HLNSettings(hidden_dim=9)) == HLNSettings(
        hidden_dim=9, num_groups=2
    )
