import pytest
import tf_keras as keras

from hln_tf import tasks
from hln_tf.layers.choices import LOSSES


def test_every_loss_of_the_settings_has_a_class():
    classes = [type(tasks.get(name)) for name in LOSSES]
    assert len(set(classes)) == len(LOSSES) == 9
    assert all(issubclass(loss, tasks.RetrievalLoss) for loss in classes)


def test_settings_of_other_losses_are_ignored():
    settings = {
        "num_negatives": 3,
        "sampling_power": 0.1,
        "score_penalty": 2.0,
        "precision": "bfloat16",
    }
    assert tasks.get("softmax", **settings).precision == "bfloat16"
    assert tasks.get("sampled", **settings).negatives.num_negatives == 3
    assert tasks.get("bpr_max", **settings).score_penalty == 2.0
    assert tasks.get("top1", **settings).negatives.sampling_power == 0.1


def test_a_loss_or_its_config_is_a_loss():
    loss = tasks.BPRMax(score_penalty=0.25)
    assert tasks.get(loss) is loss
    copy = tasks.get(keras.saving.serialize_keras_object(loss))
    assert (type(copy), copy.score_penalty) == (tasks.BPRMax, 0.25)


@pytest.mark.parametrize("identifier", ["hinge", None, 3, ["softmax"], {"name": 1}])
def test_unknown_losses_are_refused(identifier):
    with pytest.raises(ValueError, match=r"`loss` must be .*'softmax'.*, received ") as error:
        tasks.get(identifier)
    assert str(error.value).endswith(f"received {identifier!r}")


def test_a_config_written_by_hand_is_refused():
    expected = r"as keras.saving.serialize_keras_object makes it \(Could not locate class"
    with pytest.raises(ValueError, match=expected):
        tasks.get({"class_name": "BPRMax", "config": {"num_negatives": 8}})


def test_the_names_are_in_the_docstring():
    text = " ".join(tasks.get.__doc__.split())
    for name in LOSSES:
        assert f"`{name}` (`{type(tasks.get(name)).__name__}`)" in text
