"""Models of one's own that are registered in the process."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras
from commands import run

import hln_tf
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import setting
from hln_tf.layers import mean_of_clicks
from hln_tf.models import MODELS, EncoderSettings, SessionEncoder, model_entry, model_names
from hln_tf.models.counter_settings import PopularitySettings

ROOT = Path(__file__).parents[3]
VISITS = [list("abcab"), list("bcabc"), list("cabca")] * 8
COLUMNS = {"session": "visit", "item": "sku", "time": "time"}


@keras.utils.register_keras_serializable("tests")
class Bag(SessionEncoder):
    """The mean of a session's item embeddings, times a factor."""

    @dataclasses.dataclass(frozen=True)
    class Settings(EncoderSettings):
        factor: float = setting(1.0, "factor of the query embedding", above=0.0)

    def encode_embeddings(self, items, x, training, seed):
        return self.settings.factor * mean_of_clicks(x, items)


class Uniform(hln_tf.models.SessionCounter):
    """A counting model with equal scores for all items."""

    Settings = PopularitySettings

    def scores(self, items):
        return tf.zeros([tf.shape(items)[0], self.num_items])


@pytest.fixture(scope="module")
def clicks():
    rows = [
        (visit, item, 60 * visit + at)
        for visit, items in enumerate(VISITS)
        for at, item in enumerate(items)
    ]
    return pd.DataFrame(rows, columns=["visit", "sku", "time"])


@pytest.fixture(autouse=True)
def registry():
    """Restore the registry after each test."""
    before = dict(MODELS)
    yield
    MODELS.clear()
    MODELS.update(before)


@pytest.mark.slow
def test_a_registered_model_trains_recommends_exports_and_loads(clicks, tmp_path):
    hln_tf.register_model("bag", Bag, {"small": {"embedding_dim": 4, "factor": 2.0, "epochs": 2}})
    assert model_names() == tuple(MODELS) and model_entry("bag").is_encoder
    recommender = hln_tf.Recommender.fit(
        clicks, **COLUMNS, model="bag", batch_size=8, learning_rate=0.05
    )
    assert type(recommender.model) is Bag
    settings = recommender.model.settings
    assert (settings.embedding_dim, settings.factor) == (4, 2.0)
    assert len(recommender.metrics["history"]) <= 2
    expected = recommender.recommend([["a", "b"], ["c"]], k=2)
    assert [len(each.items) for each in expected] == [2, 2]

    recommender.save(tmp_path / "run")
    assert hln_tf.load(tmp_path / "run").recommend([["a", "b"], ["c"]], k=2) == expected
    version = recommender.export(tmp_path / "export")
    exported = tf.saved_model.load(str(version)).signatures["sessions"]
    ids = exported(sessions=tf.constant(["a b"]))["item_ids"].numpy()[0]
    assert [item.decode() for item in ids[:2]] == [item for item, _ in expected[0].items]
    keras.models.clone_model(recommender.model)


def test_a_command_of_the_same_process_finds_it(data, tmp_path):
    hln_tf.register_model("bag", Bag, {"paper": {"epochs": 1}, "wide": {"embedding_dim": 9}})
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run")
    sizes = ("--embedding_dim", "4", "--batch_size", "64")
    outcome = run("hln_tf.train", "--model", "bag", *where, *sizes)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()
    sentence = run("hln_tf.train", "--model", "bag", *where, "--preset", "deep").sentence(2)
    assert "paper" in sentence and "wide" in sentence


def test_a_registered_counting_model_fits(clicks):
    hln_tf.register_model("uniform", Uniform)
    recommender = hln_tf.Recommender.fit(clicks, **COLUMNS, model="uniform")
    assert recommender.recommend([["a"]], k=3)[0].is_fallback


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(UsageError, match="there is a model 'hln' already: register under another"):
        hln_tf.register_model("hln", Bag)
    assert MODELS["hln"].settings is not Bag.Settings


def test_a_class_that_is_defined_again_replaces_itself():
    """As when the cell of a notebook runs twice."""

    def define():
        class Bag(SessionEncoder):
            Settings = EncoderSettings

            def encode_embeddings(self, items, x, training, seed):
                return mean_of_clicks(x, items)

        return Bag

    first, second = define(), define()
    hln_tf.register_model("bag", first)
    hln_tf.register_model("bag", second, {"again": {}})
    assert MODELS["bag"].implementation is second and list(MODELS["bag"].presets) == ["again"]
    with pytest.raises(UsageError, match="there is a model 'bag' already"):
        hln_tf.register_model("bag", Bag)


def test_a_setting_with_the_name_of_a_flag_ends_in_one_sentence():
    hln_tf.register_model("bag", Bag)
    sentence = run("tuning.search", "--model", "bag", "--dataset", "sample").sentence()
    assert sentence == (
        "a setting of the model bag has the name of --factor, a flag of python -m tuning.search: "
        "rename the setting"
    )


@dataclasses.dataclass(frozen=True)
class NoSettings:
    pass


@dataclasses.dataclass
class Mutable:
    width: int = 8


def encoder(settings=None, **methods):
    """A class of an encoder, with methods of its own."""
    named = {"Settings": settings} if settings else {}
    return type("Own", (SessionEncoder,), named | methods)


def encode(self, items, x, training, seed):
    return mean_of_clicks(x, items)


def scores(self, items):
    return tf.zeros([tf.shape(items)[0], self.num_items])


def counter(settings=None, **methods):
    """A class of a counting model."""
    named = {"Settings": settings} if settings else {}
    return type("Own", (hln_tf.models.SessionCounter,), named | methods)


DERIVED = "Own needs `Settings`, a frozen dataclass derived from hln_tf.models.EncoderSettings: "
COUNTS = "Own needs `Settings`, a frozen dataclass not derived from EncoderSettings, as the model c"
CLASS = "expected a class derived from hln_tf.models.SessionEncoder or hln_tf.models.SessionCounter"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (encoder(encode_embeddings=encode), DERIVED),
        (encoder(Mutable, encode_embeddings=encode), DERIVED),
        (encoder(NoSettings, encode_embeddings=encode), DERIVED),
        (counter(scores=scores), COUNTS),
        (counter(Mutable, scores=scores), COUNTS),
        (counter(EncoderSettings, scores=scores), COUNTS),
        (keras.Model, f"`model` is Model, {CLASS}"),
        (hln_tf.models.SessionScorer, f"`model` is SessionScorer, {CLASS}"),
        (42, f"`model` is 42, {CLASS}"),
        (
            encoder(EncoderSettings),
            "Own must define `encode_embeddings(self, items, x, training, seed)`",
        ),
        (counter(NoSettings), "Own must define `scores(self, items)`"),
        (
            encoder(EncoderSettings, encode_embeddings=lambda self, x: x),
            "`encode_embeddings` of Own takes other arguments: define `encode_embeddings(self, it",
        ),
    ],
)
def test_what_is_no_model_is_refused_when_it_is_registered(model, message):
    with pytest.raises(TypeError) as caught:
        hln_tf.register_model("own", model)
    assert message in str(caught.value)
    assert "own" not in MODELS


def test_settings_that_are_no_dataclass_are_refused_by_the_class():
    with pytest.raises(TypeError, match="`Settings` of Own is no dataclass: decorate it with @d"):
        encoder(type("Plain", (), {"width": 8}))


@pytest.mark.parametrize("name", ["My model!", "", "1st", "a/b", None])
def test_a_name_is_a_word(name):
    with pytest.raises(UsageError, match=r"`name` is .*, expected letters, digits, _ and -, such"):
        hln_tf.register_model(name, Bag)


def test_a_preset_with_an_unknown_setting_is_refused():
    with pytest.raises(UsageError) as caught:
        hln_tf.register_model("bag", Bag, {"fast": {"factr": 2.0}})
    message = str(caught.value)
    assert "the preset 'fast' has the unknown setting 'factr'; known are: " in message
    assert "factor" in message and "epochs" in message
    assert "bag" not in MODELS


@pytest.mark.parametrize("given", ["bag", Bag])
def test_a_model_that_is_not_registered_is_named_with_the_remedy(clicks, given):
    with pytest.raises(UsageError, match=r"`model` is .*[Bb]ag.*, expected one of: hln, .*; regis"):
        hln_tf.Recommender.fit(clicks, **COLUMNS, model=given)


@pytest.fixture(scope="module")
def bag_run(clicks, tmp_path_factory):
    """The run of a model that only this test has registered."""
    path = tmp_path_factory.mktemp("runs") / "run"
    before = dict(MODELS)
    hln_tf.register_model("bag", Bag, {"paper": {"embedding_dim": 4, "epochs": 1}})
    hln_tf.Recommender.fit(clicks, **COLUMNS, model="bag", workdir=path)
    MODELS.clear()
    MODELS.update(before)
    return path


def test_a_run_of_a_model_that_is_not_registered_names_it(bag_run):
    expected = (
        f"{bag_run / 'config.json'} was written for the model 'bag', which is not registered in "
        "this process: call hln_tf.register_model('bag', YourClass) before loading it, or install "
        "the package that has it"
    )
    for load in (hln_tf.load, hln_tf.load_model):
        with pytest.raises(HlnError) as caught:
            load(bag_run)
        assert str(caught.value) == expected
    outcome = run("hln_tf.recommend", "--workdir", bag_run, "--session", "a", "-k", "3")
    assert outcome.sentence() == expected
    config = run("hln_tf.train", "--config", bag_run / "config.json", "--dataset", "sample")
    assert "the model 'bag', which is not registered in this process" in config.sentence()


def test_a_run_of_another_class_of_that_name_says_so(bag_run):
    hln_tf.register_model("bag", Uniform)
    with pytest.raises(HlnError) as caught:
        hln_tf.load(bag_run)
    message = str(caught.value)
    assert "was written for another model 'bag' than the one that is registered" in message
    assert "Uniform" in message and "register the class that was trained" in message


class Ragged(SessionEncoder):
    Settings = EncoderSettings

    def encode_embeddings(self, items, x, training, seed):
        return self.result(x)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x, r"`encode_embeddings` of Ragged returned \[1, 1, 8\], expected \[batch, 8\]"),
        (lambda x: x[:, 0, :4], r"returned \[1, 4\], expected \[batch, 8\]"),
        (lambda x: None, r"returned None, expected a tensor \[batch, 8\]"),
    ],
)
def test_a_wrong_encoding_is_named_when_the_model_is_made(monkeypatch, result, message):
    monkeypatch.setattr(Ragged, "result", staticmethod(result), raising=False)
    with pytest.raises(ValueError, match=message):
        Ragged(20, embedding_dim=8)


def test_wrong_scores_are_named_when_the_model_is_made():
    wrong = counter(NoSettings, scores=lambda self, items: tf.zeros([1, 3]))
    with pytest.raises(ValueError, match=r"`scores` of Own returned \[1, 3\], expected \[batch, "):
        wrong(20)


def test_a_layer_of_keras_3_is_named_when_the_model_is_made():
    keras_3 = pytest.importorskip("keras")

    class Mixed(Bag):
        def __init__(self, num_items, **arguments):
            super().__init__(num_items, **arguments)
            self.transform = keras_3.layers.Dense(8)

    with pytest.raises(TypeError, match=r"`transform` of Mixed is Dense of Keras 3, but "):
        Mixed(20, embedding_dim=8)
