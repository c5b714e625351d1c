"""Matrix factorisation with Bayesian personalised ranking (Rendle et al., UAI 2009)."""

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.clicks import mean_of_clicks
from hln_tf.layers.noise import Seed
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import EncoderSettings


@keras.utils.register_keras_serializable("hln_tf")
class BPRMF(SessionEncoder):
    """Matrix factorisation: a session is the mean of its items' embeddings.

    Matrix factorisation has an embedding for each user, and a new session has
    none. So its substitute at inference, the mean, is trained too. The loss of
    the paper is `bpr`.
    """

    Settings = EncoderSettings

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """See `SessionEncoder`."""
        return mean_of_clicks(x, items)
