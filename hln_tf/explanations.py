"""Explanations of single sessions, from Python."""

import os
from collections.abc import Sequence

from hln_tf.answers import Explanation
from hln_tf.errors import UsageError
from hln_tf.models.base import SessionScorer
from hln_tf.recommender import Recommender
from hln_tf.text import split_session
from hln_tf.workdir import Workdir


def explain(
    model: Recommender | SessionScorer | str | os.PathLike[str],
    session: str | Sequence[str],
    k: int = 20,
) -> Explanation:
    """Tells what each preference group keeps of a session, and what it is nearest to.

    For many sessions, `Recommender.explain` takes them together.

    Args:
      model: A `Recommender`, what `load_model` returns, or a workdir. The
        latter two are made a recommender at each call, which takes some seconds.
      session: Raw item ids, oldest first; as one string, joined by the data
        set's separator. Unknown ones are skipped.
      k: Number of items for each group.

    Returns:
      The clicks that the model uses, the probability that each group keeps each
      of them, and each group's own nearest items.

    Raises:
      HlnError: The model has no preference groups, or the workdir no trained model.
      UsageError: The model was not loaded from a workdir, or `k` is below 1.
    """
    if k < 1:
        raise UsageError(f"`k` is {k}, expected at least 1")
    if isinstance(model, SessionScorer):
        if model.workdir is None:
            raise UsageError(
                "the model was not loaded from a workdir, so its raw item ids are unknown: "
                "hand over a Recommender, which has them"
            )
        model = Recommender.of(Workdir(model.workdir), model)
    elif not isinstance(model, Recommender):
        model = Recommender.load(model)
    items = split_session(session, model.separator) if isinstance(session, str) else session
    (explanation,) = model.explain([items], k)
    return explanation
