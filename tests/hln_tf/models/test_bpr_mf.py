import numpy as np
from one_step import SESSIONS, check, make_case


def test_scores_and_a_step_are_those_of_the_definition():
    case = make_case("bpr_mf", embedding_dim=3, training={"num_negatives": 3})
    check(
        case,
        {"X": case.model.X},
        lambda session, w: np.mean([w["X"][item] for item in session], axis=0),
        reads={"X": np.concatenate(SESSIONS)},
    )
