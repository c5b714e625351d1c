import dataclasses
import doctest
import inspect
import json
import math

import keras_tuner
import numpy as np
import pytest

import tuning.brackets
import tuning.space
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.common.settings import Range, declared_fields
from hln_tf.layers.choices import LOSSES
from hln_tf.models import MODELS, HLNSettings
from hln_tf.tasks import registry
from hln_tf.training import DataDescription, RunConfig, TrainingSettings
from tuning.choose import choose_space
from tuning.domains import read_domains
from tuning.search import read_flags
from tuning.space import Hyperparameter, Space

D = DataDescription("d", "", " ", 9, "", "")
PARTS = [HLNSettings(), TrainingSettings()]


def choose(names=None, *texts, parts=PARTS):
    """The space of flags."""
    return choose_space(parts, names, read_domains(texts))


def by_name(space):
    return {each.name: each for each in space.hyperparameters}


def samples(space, count=200):
    random = np.random.default_rng(0)
    return [space.sample(random) for _ in range(count)]


@pytest.mark.parametrize("settings", [HLNSettings(num_groups=7), TrainingSettings(batch_size=50)])
def test_the_defaults_of_the_space_are_the_settings(settings):
    space = choose_space([settings])
    assert space.apply(space.defaults(), settings) == settings


def test_a_search_tries_what_is_declared_to_be_searched_and_what_a_range_adds():
    declared = {
        field.name
        for part in PARTS
        for field in declared_fields(type(part))
        if field.metadata["searched"]
    }
    # With the additive leap gate alone the predictive one's settings have no effect.
    assert {"learning_rate", "leap_gate", "leap_threshold"} < declared
    assert by_name(choose()).keys() == declared
    assert by_name(choose(None, "clip_norm=0.5:5")).keys() == declared | {"clip_norm"}
    without = declared - {"leap_threshold", "leap_slope"}
    names = [name for name in without if name != "leap_gate"]
    assert by_name(choose(names)).keys() == set(names)


@pytest.mark.parametrize("name", MODELS)
def test_every_setting_with_a_declared_range_or_choices_can_be_searched(name):
    parts = [MODELS[name].settings(), TrainingSettings()]
    fields = [field for part in parts for field in declared_fields(type(part))]
    names = [f.name for f in fields if f.metadata["search"] or f.metadata["choices"]]
    names.remove("execution")  # it changes no result
    assert {"loss", "max_length", "clip_norm", "optimizer", "batch_size"} < set(names)
    assert name != "hln" or {"embedding_dim", "hidden_dim", "leap_gate", "gates"} < set(names)
    space = choose_space(parts, names)
    assert by_name(space).keys() == set(names)
    seen = set()
    for values in samples(space, 50):
        seen |= values.keys()
        assert all(space.apply(values, part) for part in parts)
    assert seen == set(names)


def test_a_sampled_value_replaces_its_setting_only():
    settings = HLNSettings(hidden_dim=9)
    space = choose_space([settings], ["num_groups"])
    assert space.apply({"num_groups": 2, "tuner/epochs": 3}, settings) == HLNSettings(
        hidden_dim=9, num_groups=2
    )


def test_sampled_values_have_the_range_and_type_of_their_setting():
    space = choose(None, "num_groups=2:9", "temperature=0.5:1", "hidden_dim=16,32", "loss=bpr,top1")
    found = samples(space)
    assert {each["num_groups"] for each in found} == set(range(2, 10))
    assert {each["hidden_dim"] for each in found} == {16, 32}
    assert {each["loss"] for each in found} == {"bpr", "top1"}
    temperatures = [each["temperature"] for each in found]
    assert 0.5 <= min(temperatures) < 0.55 and 0.95 < max(temperatures) <= 1
    assert {type(each["exclusive_groups"]) for each in found} == {bool}
    assert space.defaults()["loss"] == "softmax", "the first trial has the default"


def test_a_setting_has_a_value_only_where_it_has_an_effect():
    texts = ("gates=both,leap,none", "loss=softmax,sampled,bpr_max", "optimizer=adam,sgd")
    more = ("num_negatives=64:256", "score_penalty=0:1", "momentum=0:0.9", "epsilon=1e-8:1e-4")
    for values in samples(choose(None, *texts, *more)):
        gate = values.get("leap_gate")
        assert (gate is None) == (values["gates"] == "none") == ("temperature" not in values)
        assert ("leap_bias" in values) == (gate in ("additive", "combined"))
        assert ("leap_threshold" in values) == (gate in ("predictive", "combined"))
        assert ("num_negatives" in values) == (values["loss"] != "softmax")
        assert ("score_penalty" in values) == (values["loss"] == "bpr_max")
        assert ("momentum" in values) == ("epsilon" not in values) == (values["optimizer"] == "sgd")
        assert not (values["gates"] == "leap" and gate == "predictive"), "the settings reject it"


@pytest.mark.parametrize("names", [["loss"], ["loss", "repeat_head"], ["loss", "dropout"]])
@pytest.mark.parametrize("base", [False, True])
def test_no_point_has_a_repeat_head_with_a_loss_that_refuses_it(names, base):
    flags = ("--dataset", "sample", "--model", "gru4rec", "--preset", "modern")
    more = ("--loss", "softmax", *(["--repeat_head"] if base else []), "--search", ",".join(names))
    space = read_flags([*flags, *more])[0].space
    model, training = space.settings
    found = list(filter(None, samples(space, 20)))
    assert len(found) == 20
    pairs = set()
    for values in found:
        config = RunConfig("gru4rec", space.apply(values, model), space.apply(values, training), D)
        pairs.add((config.model_settings.repeat_head, config.training.loss))
    if not base or "repeat_head" in names:
        assert len({loss for _, loss in pairs}) > 2
    else:
        assert pairs == {(True, "softmax")}


def test_labels_are_smoothed_with_the_loss_that_does_so_only():
    parts = [MODELS["stamp"].settings(), TrainingSettings(label_smoothing=0.1, momentum=0.5)]
    space = choose(["loss", "label_smoothing", "optimizer", "momentum"], parts=parts)
    assert space.apply(space.defaults(), parts[1]) == parts[1]
    found = [space.apply(values, parts[1]) for values in samples(space)]
    assert {each.loss for each in found} == set(LOSSES)
    assert {each.label_smoothing for each in found if each.loss != "softmax"} == {0.0}
    assert all(each.momentum == 0.5 for each in found if each.optimizer != "sgd")
    space = choose(["loss", "dropout"], parts=parts)
    assert {space.apply(values, parts[1]).loss for values in samples(space, 20)} == {"softmax"}


def test_the_declared_losses_of_a_setting_are_those_whose_constructor_has_it():
    settings = {"num_negatives": 8, "sampling_power": 0.5, "score_penalty": 1.0}
    settings |= {"precision": "bfloat16", "label_smoothing": 0.1}
    for name in settings:
        field = next(f for f in dataclasses.fields(TrainingSettings) if f.name == name)
        losses = [type(registry.get(loss)) for loss in LOSSES]
        taking = [
            loss
            for loss, each in zip(LOSSES, losses, strict=True)
            if name in inspect.signature(each.__init__).parameters
        ]
        assert list(field.metadata["applies"]["loss"]) == taking


def test_the_conditions_are_kerastuners_too():
    space = choose(None, "gates=both,none")
    declared = space.declared
    assert [each.name for each in declared.space] == [each.name for each in space.hyperparameters]
    for values in samples(space, 50):
        declared.values = values
        active = {each.name for each in declared.space if declared.is_active(each)}
        assert active == values.keys()


def test_points_and_coordinates_are_inverse():
    space = choose(None, "loss=bpr,top1", "clip_norm=0.5:5:log")
    for values in samples(space, 50):
        again = space.point(space.units(values))
        assert again.keys() == values.keys()
        for name, value in values.items():
            same = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
            assert again[name] == same
    assert space.units(space.defaults())[-1] == 0.5, "a default out of its choices is central"


def test_a_tried_point_is_not_sampled_again_and_an_exhausted_space_has_none():
    space, tried = choose(["aggregation", "num_groups"], "num_groups=1:3"), set()
    for _ in range(12):
        values = space.sample(np.random.default_rng(0), tried)
        assert space.key(values) not in tried
        tried.add(space.key(values))
    assert space.sample(np.random.default_rng(0), tried) is None


def test_a_sampled_integer_does_not_exceed_its_range():
    batch_size = Hyperparameter("batch_size", Range(64, 512, log=True), 64)
    (declared,) = Space([batch_size]).declared.space
    assert declared.prob_to_value(1.0) == 513, "what KerasTuner may sample"
    assert batch_size.value(513) == 512


def test_a_value_survives_a_message_of_32_bit_floats_exactly():
    rate = Hyperparameter("learning_rate", Range(0.0001, 0.1, log=True), 0.00123456789)
    assert rate.value(float(np.float32(0.00123456789))) == 0.00123456789
    assert rate.value(float(np.float32(0.01))) == 0.01
    assert rate.value(0.2) == 0.1
    choices = Hyperparameter("dropout", (0.1, 0.3), 0.0)
    assert choices.value(float(np.float32(0.3))) == 0.3
    for values in samples(choose(None, "dropout=0.1,0.3", "clip_norm=0.5:5"), 20):
        message = keras_tuner.HyperParameters()
        message.values = values
        received = keras_tuner.HyperParameters.from_proto(message.to_proto()).values
        space = choose(None, "dropout=0.1,0.3", "clip_norm=0.5:5")
        assert json.dumps(space.values(received), sort_keys=True) == space.key(values)


def test_a_logarithmic_range_is_centred_on_a_default_outside_of_it():
    """Presets have learning rates of different orders of magnitude."""
    training = TrainingSettings(learning_rate=0.5, batch_size=32)
    found = by_name(choose_space([training], ["learning_rate", "batch_size", "clip_norm"]))
    learning_rate, batch_size = found["learning_rate"].domain, found["batch_size"].domain
    # The declared ranges are 3e-4 to 1e-2 and 64 to 512; the ratio of their bounds is unchanged.
    assert learning_rate.high / learning_rate.low == pytest.approx(1e-2 / 3e-4)
    assert math.sqrt(learning_rate.low * learning_rate.high) == pytest.approx(0.5)
    assert (batch_size.low, batch_size.high) == (11, 91)
    assert found["clip_norm"].domain.low > 0, "a default of 0, for none, moves no range"
    given = by_name(choose(["batch_size"], "batch_size=64:128", parts=[training]))["batch_size"]
    assert (given.domain.low, given.domain.high) == (64, 128)


def test_a_default_outside_its_range_stays_the_default():
    space = choose(["learning_rate"], "learning_rate=0.005:0.01")
    assert space.values({"learning_rate": 0.001})["learning_rate"] == 0.001


def test_ranges_of_python_are_those_of_flags():
    python = {"dropout": (0, 0.3), "l2": Range(1e-6, 1e-3, log=True), "loss": ["bpr", "top1"]}
    flags = ("dropout=0:0.3", "l2=1e-6:1e-3:log", "loss=bpr,top1")
    assert choose_space(PARTS, None, python).to_dict() == choose(None, *flags).to_dict()
    found = by_name(choose(None, "epochs=2:9"))["epochs"]
    assert found.domain == Range(2, 9), "a setting without a declared range is sampled linearly"


@pytest.mark.parametrize(
    ("names", "ranges", "words"),
    [
        (["wings"], [], ["--search", "'wings'", "no hyperparameter", "num_groups", "batch_size"]),
        (["seed"], [], ["--search", "'seed'", "learning_rate"]),
        (["score_megabytes"], [], ["'score_megabytes'", "no hyperparameter"]),
        (["epochs"], [], ["'epochs'", "no range", "--range epochs=LOW:HIGH"]),
        (None, ["wings=1:2"], ["--range", "'wings'", "num_groups"]),
        (None, ["num_groups"], ["--range", "num_groups=LOW:HIGH", "whole numbers"]),
        (None, ["num_groups=1.5:3"], ["whole numbers"]),
        (None, ["num_groups=4"], ["num_groups=VALUE,VALUE"]),
        (None, ["dropout=a:b"], ["dropout=LOW:HIGH"]),
        (None, ["dropout=0.1:0.2:0.3"], ["dropout=LOW:HIGH"]),
        (None, ["dropout=0.3:0.1"], ["dropout=0.3:0.1", "minimum", "maximum", "LOW below HIGH"]),
        (None, ["dropout=0.3:0.3"], ["LOW below HIGH"]),
        (None, ["dropout=nan:0.3"], ["LOW below HIGH"]),
        (None, ["dropout=0.3:1"], ["dropout=0.3:1", "--dropout is 1.0", "below 1.0"]),
        (None, ["dropout=0:0.3:log"], ["logarithmic", "LOW above 0"]),
        (None, ["dropout=0.1,1"], ["dropout=0.1,1", "below 1.0"]),
        (None, ["dropout=0.1,0.1"], ["at least two", "--dropout"]),
        (None, ["learning_rate=0:1"], ["--learning_rate is 0.0", "more than 0"]),
        (None, ["leap_bias=0:inf"], ["--leap_bias is inf", "finite"]),
        (None, ["aggregation=0:1"], ["aggregation=0:1", "one of: sum, max, attention"]),
        (None, ["loss=softmax"], ["loss=softmax", "at least two", "set --loss"]),
        (None, ["loss="], ["loss=VALUE,VALUE", "softmax"]),
        (None, ["loss=softmax,sampeld"], ["'sampeld'", "sampled"]),
        (None, ["normalize=True,maybe"], ["'maybe'", "True or False"]),
        (None, ["dropout=0:0.1", "dropout=0:0.2"], ["'dropout'", "twice"]),
        (["num_groups"], ["dropout=0:0.1"], ["'dropout'", "--search leaves out"]),
        (["momentum"], [], ["'momentum'", "--optimizer sgd", "that is adam"]),
        (["momentum", "optimizer"], ["optimizer=adam,adagrad"], ["--optimizer sgd"]),
        (["leap_threshold"], [], ["--leap_gate predictive or combined", "additive"]),
    ],
)
def test_invalid_names_and_ranges_are_rejected(names, ranges, words):
    with pytest.raises(UsageError) as caught:
        choose(names, *ranges)
    message = cli.with_flags(str(caught.value))
    assert all(word in message for word in words), message


@pytest.mark.parametrize("module", [tuning.space, tuning.brackets])
def test_the_examples_of_the_docstrings_run(module):
    assert doctest.testmod(module).attempted and not doctest.testmod(module).failed


@pytest.mark.parametrize("given", [(0.1, "0.2"), (1, 2, 3.5), 7, {"low": 1}, (True, 3)])
def test_what_is_no_range_in_python_is_rejected(given):
    with pytest.raises(UsageError, match="expected num_groups=LOW:HIGH"):
        choose_space(PARTS, None, {"num_groups": given})
