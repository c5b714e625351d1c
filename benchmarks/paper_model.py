"""The model that is measured: HLN with the paper's sizes."""

import tensorflow as tf
import tf_keras as keras

from hln_tf.models.hln import HLN
from hln_tf.models.settings import HLNSettings


def new_model(num_items: int, seed: int, precision: str = "float32") -> HLN:
    """A model with fresh weights, the same for the same seed."""
    keras.utils.set_random_seed(seed)
    model = HLN(num_items, HLNSettings(), precision=precision)
    model(tf.ones([1, 2], tf.int32))
    return model
