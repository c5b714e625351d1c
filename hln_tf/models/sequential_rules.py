"""Sequential rules: the items that were clicked soon after the last click."""

import scipy.sparse
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.models.pair_counter import PairCounter, weigh_followers
from hln_tf.models.settings import SequentialRulesSettings


@keras.utils.register_keras_serializable("hln_tf")
class SequentialRules(PairCounter):
    """Sequential rules of two items (Kamehkhosh, Jannach & Ludewig, RecTemp 2017).

    A rule's weight is the sum over the pairs of its first item and its second, at
    most `window` clicks later in one session, of a weight that falls with their
    distance. An item's score is the weight of the rule to it from the session's
    last click. The authors divide by a number that is the same for all items,
    and store the 20 rules of an item with the largest weights; here are all.
    """

    Settings = SequentialRulesSettings

    def rules(self, sessions: Sessions) -> scipy.sparse.csr_array:
        """Weigh pairs by their distance; see `PairCounter`."""
        settings = self.settings
        return weigh_followers(sessions, self.num_items, settings.window, settings.weighting)
