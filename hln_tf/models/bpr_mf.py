"""Matrix factorisation with Bayesian personalised ranking (Rendle et al., UAI 2009)."""

import tensorflow as tf

from hln_tf.layers.clicks import mean_of_clicks
from hln_tf.layers.sharding import Seed
from hln_tf.models.base import SessionEncoder


class BPRMF(SessionEncoder):
    """A session is the mean of its items' vectors.

    Matrix factorisation has a vector for each user, and a new session has none. So
    its stand-in at inference, the mean, is what is trained too.
    """

    def encode_vectors(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """See `SessionEncoder`."""
        return mean_of_clicks(x, items)
