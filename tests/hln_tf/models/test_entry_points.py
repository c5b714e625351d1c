"""Models of one's own that an installed package has, by its entry points."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import Outcome

ROOT = Path(__file__).parents[3]

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
