"""Association rules: the items that occur in sessions with the last click."""

import numpy as np
import scipy.sparse
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.models.pair_counter import PairCounter
from hln_tf.models.settings import AssociationRulesSettings


@keras.utils.register_keras_serializable("hln_tf")
class AssociationRules(PairCounter):
    """Association rules of two items (Ludewig & Jannach, UMUAI 2018, section 3.1.1).

    A rule's weight is the number of pairs of clicks in one session, of its first
    item and of its second, before or after it; an item that was clicked twice
    has pairs with itself. An item's score is the weight of the rule to it from the
    session's last click. The authors divide by a number that is the same for
    all items.
    """

    Settings = AssociationRulesSettings

    def rules(self, sessions: Sessions) -> scipy.sparse.csr_array:
        """Count pairs in sessions; see `PairCounter`."""
        clicks = scipy.sparse.csr_array(
            (np.ones(len(sessions.items)), sessions.items - 1, sessions.offsets),
            shape=(len(sessions), self.num_items),
        )
        # Each click would be a pair with itself.
        with_itself = scipy.sparse.diags_array(self.item_counts.numpy().astype(np.float64))
        rules = (clicks.T @ clicks - with_itself).tocsr()
        rules.eliminate_zeros()
        return rules
