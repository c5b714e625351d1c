import dataclasses
import functools
import inspect

import pytest
import tiny_models
from tiny_models import model_class

from hln_tf import models
from hln_tf.common.errors import SettingError, UsageError
from hln_tf.common.settings import declared_fields
from hln_tf.models.hln import HLN
from hln_tf.models.registry import MODELS, model_entry
from hln_tf.models.settings import HLNSettings
from hln_tf.training.settings import TrainingSettings


def test_error_of_an_unknown_model_lists_those_that_exist():
    with pytest.raises(UsageError, match="`model` is 'hnl', expected one of: hln, ") as error:
        model_entry("hnl")
    assert f"{', '.join(MODELS)}; register a class of your own with" in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"embedding_dim": 0}, "`embedding_dim` is 0, expected at least 1"),
        ({"hidden_dim": -1}, "`hidden_dim` is -1, expected at least 1"),
        ({"num_groups": 0}, "`num_groups` is 0, expected at least 1"),
        ({"num_groups": 2.0}, "`num_groups` is 2.0, expected a value of type int"),
        ({"aggregation": "mean"}, "`aggregation` is 'mean', expected one of: sum, max, attention"),
        ({"temperature": 0.0}, "`temperature` is 0.0, expected at least 0.01 and at most 100.0"),
        ({"temperature": 101}, "`temperature` is 101.0, expected at least 0.01"),
        ({"inference_gate": "soft"}, "`inference_gate` is 'soft', expected one of: hard, expected"),
    ],
)
def test_bad_hln_settings_are_errors(values, message):
    for make in (HLNSettings, functools.partial(HLN, 9)):
        with pytest.raises(ValueError, match=message) as error:
            make(**values)
        assert isinstance(error.value, SettingError)


def test_defaults_are_the_papers():
    settings = HLNSettings()
    assert (settings.embedding_dim, settings.hidden_dim, settings.num_groups) == (100, 200, 3)
    assert (settings.aggregation, settings.leap_bias) == ("sum", 0.0)
    training = TrainingSettings()
    assert (training.batch_size, training.optimizer, training.loss) == (64, "adam", "softmax")
    rates = [training.learning_rate_at(epoch) for epoch in (0, 2, 3, 5, 6)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


@pytest.mark.parametrize("name", MODELS)
def test_presets_are_allowed_settings(name):
    entry = MODELS[name]
    model_names = {field.name for field in dataclasses.fields(entry.settings)}
    for preset in entry.presets.values():
        entry.settings(**{key: value for key, value in preset.items() if key in model_names})
        TrainingSettings(**{key: value for key, value in preset.items() if key not in model_names})


@pytest.mark.parametrize("name", MODELS)
def test_every_setting_is_explained_in_the_settings_and_the_model(name):
    entry = MODELS[name]
    fields = dataclasses.fields(entry.settings)
    documents = [entry.settings.__doc__, getattr(models, model_class(name).__name__).__doc__]
    for field in fields:
        text = field.metadata["help"]
        for document in documents:
            assert f"\n  {field.name}: {text[0].upper()}{text[1:]}; " in document
    assert "Args:\n  num_items: Size of the catalogue" in documents[1]


def test_a_model_of_ones_own_explains_its_settings_too():
    class Own(HLN):
        """A model.

        Args:
          num_items: Size.
        """

    class Silent(HLN):
        pass

    assert Own.__doc__.startswith("A model.\n\nArgs:\n  num_items: Size.\n\nKeyword Args:\n")
    assert "\n  hidden_dim: Size n of a preference; " in Own.__doc__
    assert Silent.__doc__ is None and "hidden_dim" in inspect.getdoc(Silent)


def changed_value(field):
    """Another allowed value of a setting."""
    if field.metadata["choices"]:
        return next(each for each in field.metadata["choices"] if each != field.default)
    return {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v + 0.25}[
        type(field.default)
    ](field.default)


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.is_encoder])
def test_settings_that_no_weight_needs_change_no_shape(name):
    """A run may start from the weights of one with other values of them."""
    defaults = tiny_models.make(name)
    shapes = [weight.shape for weight in defaults.trainable_variables]
    assert shapes
    for field in declared_fields(MODELS[name].settings):
        if not field.metadata["weights"]:
            model = tiny_models.make(name, **{field.name: changed_value(field)})
            found = [weight.shape for weight in model.trainable_variables]
            assert found == shapes, field.name
