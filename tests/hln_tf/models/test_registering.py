"""Models of one's own: registered in the process, and by the entry points of a package."""

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras
from commands import Outcome, run

import hln_tf
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import setting
from hln_tf.layers import mean_of_clicks
from hln_tf.models import MODELS, EncoderSettings, SessionEncoder, model_entry, model_names
from hln_tf.models.settings import PopularitySettings

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


@pytest.mark.parametrize("settings", [None, {"factor": 1.0}, EncoderSettings()])
def test_a_class_without_settings_is_refused(settings):
    class Plain:
        Settings = settings

    with pytest.raises(TypeError, match="Plain needs `Settings`, a dataclass, to be registered"):
        hln_tf.register_model("plain", Plain)
    assert "plain" not in MODELS


def test_a_preset_with_an_unknown_setting_is_refused(clicks):
    hln_tf.register_model("bag", Bag, {"paper": {"factr": 2.0}})
    with pytest.raises((TypeError, UsageError), match="factr"):
        hln_tf.Recommender.fit(clicks, **COLUMNS, model="bag")


def test_a_run_of_a_model_that_is_not_registered_names_it(clicks, tmp_path):
    hln_tf.register_model("bag", Bag, {"paper": {"embedding_dim": 4, "epochs": 1}})
    hln_tf.Recommender.fit(clicks, **COLUMNS, model="bag", workdir=tmp_path / "run")
    del MODELS["bag"]
    with pytest.raises(HlnError, match="'bag'"):
        hln_tf.load(tmp_path / "run")


PACKAGE = {
    "pyproject.toml": """
        [build-system]
        requires = ["setuptools>=65"]
        build-backend = "setuptools.build_meta"

        [project]
        name = "bag-model"
        version = "1.0"

        [project.entry-points."hln_tf.models"]
        bag = "bag_model:BAG"
        broken = "bag_model.broken:ENTRY"
        number = "bag_model:NUMBER"

        [tool.setuptools]
        packages = ["bag_model"]
    """,
    "bag_model/__init__.py": '''
        """The registry entry of the model; imports no TensorFlow."""

        import dataclasses

        from hln_tf.common.settings import Range, setting
        from hln_tf.models import EncoderSettings, ModelEntry


        @dataclasses.dataclass(frozen=True)
        class BagSettings(EncoderSettings):
            gain: float = setting(
                1.0, "gain of the query embedding", above=0.0, search=Range(0.5, 2.0)
            )


        BAG = ModelEntry(
            BagSettings, "bag_model.model:Bag", {"small": {"embedding_dim": 4, "epochs": 1}}
        )
        NUMBER = 3
    ''',
    "bag_model/model.py": '''
        """The model."""

        import tf_keras as keras

        from bag_model import BagSettings
        from hln_tf.layers import mean_of_clicks
        from hln_tf.models import SessionEncoder


        @keras.utils.register_keras_serializable("bag_model")
        class Bag(SessionEncoder):
            Settings = BagSettings

            def encode_embeddings(self, items, x, training, seed):
                return self.settings.gain * mean_of_clicks(x, items)
    ''',
    "bag_model/broken.py": "import a_package_that_is_missing\n",
}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A function that runs Python in a process in which the package is installed."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name, text in PACKAGE.items():
        path = source / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", site)
    pip = [sys.executable, "-m", "pip", "install", *map(str, flags), str(source)]
    subprocess.run(pip, check=True)
    paths = os.pathsep.join([str(ROOT), str(site)])
    environment = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def python(*arguments):
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return python


@pytest.mark.slow
def test_an_installed_package_adds_its_model(command, data, tmp_path):
    workdir = tmp_path / "run"
    where = ("--dataset", "sample", "--data_dir", data)
    flags = ("--model", "bag", "--gain", "2")
    outcome = command("-m", "hln_tf.train", *where, *flags, "--workdir", workdir)
    assert outcome.code == 0, outcome.err
    assert (workdir / "export" / "1" / "saved_model.pb").is_file()

    code = (
        "import sys, hln_tf\n"
        "recommender = hln_tf.load(sys.argv[1])\n"
        "print(type(recommender.model).__module__, recommender.model.settings.gain)\n"
        "print(*(item for item, _ in recommender.recommend([['i1', 'i4']], k=3)[0].items))\n"
    )
    outcome = command("-c", code, workdir)
    assert outcome.code == 0, outcome.err
    first, items = outcome.out.splitlines()
    assert first == "bag_model.model 2.0" and len(items.split()) == 3
    outcome = command("-m", "hln_tf.recommend", "--workdir", workdir, "--session", "i1", "-k", "3")
    assert outcome.code == 0 and len(outcome.out.splitlines()) == 3, outcome.err


@pytest.mark.slow
def test_an_installed_model_is_searched(command, data, tmp_path):
    workdir = tmp_path / "search"
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", workdir)
    search = ("--max_trials", "2", "--tuner", "random", "--search", "gain")
    outcome = command("-m", "tuning.search", "--model", "bag", *where, *search)
    assert outcome.code == 0, outcome.err
    header, *rows = (workdir / "trials.csv").read_text().splitlines()
    assert "gain" in header.split(",") and len(rows) == 2


def test_help_lists_an_installed_model_and_its_flags(command):
    outcome = command("-m", "hln_tf.train", "--model", "bag", "--help")
    assert outcome.code == 0, outcome.err
    assert "--gain" in outcome.out and "gain of the query embedding" in outcome.out
    assert "small" in outcome.out and "bag" in outcome.out
    code = (
        "import sys, hln_tf.models as models\n"
        "print(models.model_entry('bag').settings.__name__, 'tensorflow' in sys.modules)\n"
    )
    assert command("-c", code).out == "BagSettings False\n"
    sentence = command("-m", "hln_tf.train", "--model", "nag", "--dataset", "sample").sentence(2)
    assert "'nag'" in sentence and "bag" in sentence and "hln" in sentence


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "broken",
            "the model 'broken' of bag_model.broken:ENTRY cannot be loaded (ModuleNotFoundError: "
            "No module named 'a_package_that_is_missing'): fix or uninstall its package",
        ),
        (
            "number",
            "the entry point 'number' of hln_tf.models names bag_model:NUMBER, expected a "
            "ModelEntry",
        ),
    ],
)
def test_an_entry_point_that_is_no_model_ends_in_one_sentence(command, model, expected):
    outcome = command("-m", "hln_tf.train", "--model", model, "--dataset", "sample")
    assert outcome.sentence() == expected
