import numpy as np
import pytest
from one_step import SESSIONS, check, make_case

from hln_tf.models.fpmc import FPMC


def query(session, w):
    """x_hat(i) = <V_UI, V_IU> + <V_IL, V_LI of the last item>, as one product with row i of X."""
    V_IU, V_LI = w["X"][:, :2], w["V_LI"]
    user = sum(V_IU[item] for item in session) / len(session)
    return np.concatenate([user, V_LI[session[-1]]])


def test_scores_and_a_step_are_those_of_the_definition():
    case = make_case("fpmc", embedding_dim=4, training={"num_negatives": 3})
    check(
        case,
        {"X": case.model.X, "V_LI": case.model.V_LI},
        query,
        reads={"X": np.concatenate(SESSIONS), "V_LI": [session[-1] for session in SESSIONS]},
    )


def test_the_two_terms_have_half_of_an_item_embedding_each():
    with pytest.raises(ValueError, match="`embedding_dim` is 5, expected an even number"):
        FPMC(3, embedding_dim=5)
