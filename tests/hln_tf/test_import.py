"""The package selects Keras 2, or raises an error with the remedy, and has public names."""

import os
import subprocess
import sys

import pytest

import hln_tf

FIRST_LINE = (
    "put `import hln_tf` (or TF_USE_LEGACY_KERAS=1 in the environment) before the first use of "
    "tensorflow"
)


def run(script, variable=None):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    if variable is not None:
        environment["TF_USE_LEGACY_KERAS"] = variable
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("variable", ["0", "false", ""])
def test_variable_that_asks_for_keras_3_is_an_error_with_the_remedy(variable):
    finished = run("import hln_tf", variable)
    assert finished.returncode == 1
    assert "ImportError: hln_tf needs Keras 2" in finished.stderr
    assert f"TF_USE_LEGACY_KERAS is {variable!r}: set it to 1, or unset it" in finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize("used", ["tf.keras.Model", "from tensorflow import keras; keras.Model"])
def test_keras_3_in_use_is_an_error_with_the_line_to_put_first(used):
    finished = run(f"import tensorflow as tf; {used}; import hln_tf")
    assert finished.returncode == 1
    assert "ImportError: hln_tf needs Keras 2" in finished.stderr
    assert FIRST_LINE in finished.stderr


@pytest.mark.parametrize("first", ["import hln_tf", "import os; os.environ.update(VARIABLE)"])
@pytest.mark.slow
def test_either_remedy_works(first):
    first = first.replace("VARIABLE", "{'TF_USE_LEGACY_KERAS': '1'}")
    finished = run(f"{first}; import tensorflow as tf; tf.keras.Model; import hln_tf.layers")
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
def test_tensorflow_without_keras_yet_gets_keras_2():
    finished = run("import tensorflow as tf, hln_tf; print(tf.keras.__name__)")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("tf_keras")


def test_importing_the_package_imports_no_tensorflow():
    finished = run("import hln_tf, sys; print('tensorflow' in sys.modules)")
    assert finished.stdout == "False\n"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="No hln_tf attribute unknown_name"):
        _ = hln_tf.unknown_name


def test_public_names_are_listed_and_there():
    assert {"Recommender", "RunDirectory", "explain", "load_model"} <= set(dir(hln_tf))
    for name in hln_tf.__all__:
        assert getattr(hln_tf, name).__name__ in (name, f"hln_tf.{name}")


@pytest.mark.slow
def test_commands_import_the_parts_of_tensorflow_probability_that_they_use():
    finished = run(
        "import sys; from hln_tf.common import cli; cli.import_tensorflow(); "
        "import hln_tf.models.hln; parts = ('experimental', 'distributions'); "
        "print([x for x in parts if f'tensorflow_probability.python.{x}' in sys.modules])"
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "['distributions']\n"
