import numpy as np
import pytest
from small_hln import make_model

import hln_tf
from hln_tf.common.errors import HlnError, UsageError

SESSION = ["i3", "i6", "new", "i9"]


def test_recommender_model_and_workdir_explain_a_session_alike(trained):
    recommender = hln_tf.Recommender.load(trained.path)
    explained = hln_tf.explain(recommender, SESSION, k=4)
    assert explained.clicks == ["i3", "i6", "i9"]
    model = hln_tf.load_model(trained.path)
    retention = model.retention(np.array([[3, 6, 9]]))[0]
    np.testing.assert_allclose(explained.retention, retention, rtol=1e-5)
    queries = model.preferences(np.array([[3, 6, 9]])).queries[0].numpy()
    for group, query in zip(explained.groups, queries, strict=True):
        scores = model.X.numpy() @ query
        assert [item for item, _ in group] == [f"i{row + 1}" for row in np.argsort(-scores)[:4]]
        assert [score for _, score in group] == pytest.approx(sorted(scores)[:-5:-1], rel=1e-4)
    assert not explained.is_fallback
    for source, session in ((model, SESSION), (trained.path, " ".join(SESSION))):
        other = hln_tf.explain(source, session, k=4)
        assert (other.clicks, other.groups) == (explained.clicks, explained.groups)
        np.testing.assert_array_equal(other.retention, explained.retention)


def test_a_session_of_unknown_items_has_no_nearest_items(trained):
    recommender = hln_tf.Recommender.load(trained.path)
    explained = hln_tf.explain(recommender, "new")
    assert (explained.clicks, explained.groups, explained.is_fallback) == ([], [[], []], True)
    assert explained.retention.shape == (2, 0)


def test_sessions_that_cannot_be_explained(popular, tmp_path):
    with pytest.raises(HlnError, match="Popularity has no preference groups"):
        hln_tf.explain(popular.path, "i3")
    with pytest.raises(HlnError, match="is no saved recommender: name a directory written by"):
        hln_tf.explain(tmp_path, "i3")
    with pytest.raises(UsageError, match=r"explain takes one, Recommender\.explain takes several"):
        hln_tf.explain(popular.path, [["i3"]])
    with pytest.raises(UsageError, match="not loaded from a workdir"):
        hln_tf.explain(make_model(), "i3")
    with pytest.raises(UsageError, match="`k` is 0"):
        hln_tf.explain(popular.path, "i3", k=0)
