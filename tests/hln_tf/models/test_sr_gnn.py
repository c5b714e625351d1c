import pytest
from one_step import check, make_case
from sr_gnn_oracle import D, query, weights


@pytest.mark.parametrize("propagations", [1, 2])
def test_scores_and_a_step_are_those_of_the_definition(propagations):
    case = make_case("sr_gnn", embedding_dim=D, propagations=propagations)
    check(case, weights(case.model), lambda session, w: query(session, w, propagations))
