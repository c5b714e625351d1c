"""Recommendations for sessions of item ids, from Python."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hln_tf.analysis.explanation import Explanation
from hln_tf.common.errors import HlnError, SettingError, UsageError
from hln_tf.common.files import written_here
from hln_tf.data.dataset import SessionDataset
from hln_tf.data.tables import Columns, dataset_of_clicks, is_table, sessions_of_clicks
from hln_tf.export.model_card import describe_run
from hln_tf.export.saved_model import export
from hln_tf.metrics.ranking import KS
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder
from hln_tf.training.evaluation import evaluate_sessions
from hln_tf.training.fitting import (
    check_settings,
    fit_dataset,
    run_config,
    split_protocol,
    update_settings,
)
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.run_recommender import RunRecommender

# Examples that `evaluate` ranks at a time.
BATCH_SIZE = 1024


class Recommender(RunRecommender):
    """Recommends items for sessions of item ids: the front door of the package.

    `fit` trains one on a table of clicks, `load` opens a run of `python -m
    hln_tf.train` or one that was saved.

    Attributes:
      run: The run that it was fitted by or loaded from, or None.

    Example:
    >>> import pandas as pd
    >>> visits = [list("abcab"), list("bcabc"), list("cabca")] * 20
    >>> clicks = pd.DataFrame(
    ...     [(n, item, 60 * n + at) for n, visit in enumerate(visits) for at, item in
    ...      enumerate(visit)], columns=["visit", "sku", "time"]
    ... )
    >>> recommender = Recommender.fit(
    ...     clicks, session="visit", item="sku", time="time", epochs=3, batch_size=8,
    ...     learning_rate=0.05, embedding_dim=8, hidden_dim=8
    ... )
    >>> recommender
    Recommender(hln, 3 items, trained on 60 sessions)
    >>> recommender.recommend([["a", "b"]], k=1)[0].items[0][0]
    'c'
    """

    # Removes the run of a recommender that was not saved, together with it.
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def fit(
        cls,
        clicks: Any,
        *,
        item: str | Sequence[str] | None = None,
        time: str | None = None,
        session: str | None = None,
        user: str | None = None,
        session_timeout: Any = None,
        separator: str | None = None,
        model: str = "hln",
        preset: str | None = None,
        refit: bool = True,
        workdir: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> "Recommender":
        """Train a model on clicks.

        The latest tenth of the sessions chooses the epoch; then, with `refit`, a
        new model is trained on all of them for as many epochs. Items of fewer than
        `min_item_count` clicks, 5 by default, and sessions of one click are dropped:
        `metrics["clicks_left"]` and standard error have the clicks that are left.

        Args:
          clicks: A pandas or Polars DataFrame, an Arrow table, or a `SessionDataset`;
            a click in each row.
          item: Column of the item, text or whole numbers, or several that are joined.
          time: Column of the time, see `SessionDataset.from_clicks`.
          session: Column of the session.
          user: Column of the user instead, with `session_timeout`.
          session_timeout: Inactivity that ends a user's session: whole seconds, such
            as 1800, or a timedelta.
          separator: Joins item ids where a session is one string, and may not be in
            one; a space by default.
          model: Name of a model, see `hln_tf.models.model_names()`; a class of your own
            has a name after `hln_tf.register_model`.
          preset: Name of one of the model's presets, see
            `hln_tf.models.model_entry(model).presets`; its first one by default.
          refit: Whether to train the final model on all sessions.
          workdir: Where the run is written, from which an interrupted training
            resumes; a temporary directory by default.
          **settings: Settings by name. Of the model: `help(hln_tf.HLNSettings)`, of any
            `help(hln_tf.models.model_entry(model).settings)`; of its training:
            `help(hln_tf.TrainingSettings)`, such as `epochs`; for a table, of the
            protocol: `help(hln_tf.ProtocolSettings)`, such as `min_item_count`.
            `test_seconds` holds out a test part, which is evaluated, see `metrics`.

        Raises:
          HlnError: The clicks cannot be used, or nothing is left of them.
          UsageError: A value is not allowed, or the table has no such column.
          TypeError: There is no such setting, or no column is named.
        """
        protocol = {"session_timeout": session_timeout, "separator": separator}
        check_settings(model, settings, not isinstance(clicks, SessionDataset))
        settings, more = split_protocol(settings)
        columns = Columns(item, time, session, user)
        dataset = dataset_of_clicks(clicks, columns, protocol | more)
        return cls._fit(dataset, model, preset, {**settings, "refit": refit}, workdir)

    @classmethod
    def _fit(
        cls,
        dataset: SessionDataset,
        model: str,
        preset: str | None,
        settings: Mapping[str, Any],
        workdir: str | os.PathLike[str] | None,
        init_from: RunDirectory | None = None,
    ) -> "Recommender":
        config = run_config(dataset, model, preset, settings, init_from)
        temporary = None
        if workdir is None:
            temporary = tempfile.TemporaryDirectory(prefix="hln_tf-")
            workdir = Path(temporary.name) / "run"
        run = RunDirectory(written_here(workdir, "workdir"))
        fit_dataset(dataset, config, run)
        recommender = cls.load(run)
        recommender._temporary = temporary
        return recommender

    def export(
        self,
        base: str | os.PathLike[str],
        run: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Path:
        """Write a SavedModel for TensorFlow Serving, with signatures from ids to ids.

        They are those of `hln_tf.export.signatures`: `serving_default` (items, string
        [batch, time], padded with ""), `sessions` (string [batch], ids joined by the
        separator), `sessions_k` (with k and exclude_seen for each) and, where the model
        has them, `explain` and `embed`. `python -m serving.serve` serves them, and in
        Python they are called by name:

            model = tf.saved_model.load(str(recommender.export("models/shop")))
            answer = model.signatures["sessions"](sessions=tf.constant(["a b", "c"]))
            answer["item_ids"], answer["scores"]  # [batch, k]

        Args:
          base: The model's directory, in which the export is a version.
          run: The description of the run for the model card, see
            `hln_tf.export.describe_run`; that of its own run by default.
          version: Number of the version; one more than the largest by default.

        Returns:
          The version's directory.

        Raises:
          HlnError: The version exists already, or `base` is no directory.
        """
        if run is None:
            run = describe_run(self.run.config(), self.metrics) if self.run else {}
        return export(self.graph, written_here(base, "base"), run, version)

    def evaluate(
        self,
        data: Any,
        k: int | Sequence[int] = KS,
        *,
        item: str | Sequence[str] | None = None,
        time: str | None = None,
        session: str | None = None,
        user: str | None = None,
        session_timeout: Any = 0,
    ) -> dict[str, float]:
        """Evaluate on later sessions, whose items are matched by their ids.

        Every click but the first of a session is a target, ranked after the clicks
        before it. One on an item that the model does not know is a miss, and left out
        of the prefixes after it; a prefix without a known item is ranked by popularity.

        Args:
          data: A table of clicks, or sessions as for `recommend`.
          k: The cut-offs, a number or several.
          item: Column of the item, for a table.
          time: Column of the time.
          session: Column of the session.
          user: Column of the user instead.
          session_timeout: Inactivity that ends a user's session, as for `fit`.

        Returns:
          Recall and MRR by name, such as `mrr@20`, as fractions of 1; and the counts
          `sessions` (those of one click too, which have no target), `examples` (the
          targets), `unknown_clicks` (on items that the model does not know, targets or
          not) and, of these, `unknown_targets`.

        Raises:
          HlnError: There is nothing to predict, or a value cannot be used.
        """
        ks = tuple(k) if isinstance(k, tuple | list | np.ndarray) else (k,)
        if not ks:
            raise SettingError("k", k, "at least one cut-off, such as 20")
        for each in ks:
            self._check_k(each)
        columns = Columns(item, time, session, user)
        if is_table(data) or (item is not None and time is not None):
            sessions = sessions_of_clicks(data, columns, session_timeout, self.separator)
        else:
            sessions = self._sessions(data)
        index = {item_id: number for number, item_id in enumerate(self._vocabulary, start=1)}
        rows = [np.array([index.get(each, 0) for each in row], np.int32) for row in sessions]
        if not any(len(row) > 1 for row in rows):
            raise HlnError("no session has two or more clicks: there is nothing to predict")
        return evaluate_sessions(self.model, rows, ks, self._max_length, BATCH_SIZE)

    def update(
        self,
        clicks: Any,
        *,
        item: str | Sequence[str] | None = None,
        time: str | None = None,
        session: str | None = None,
        user: str | None = None,
        session_timeout: Any = None,
        refit: bool = True,
        workdir: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> "Recommender":
        """Train on new clicks, from the present weights and with items that are new.

        Items that the model knows are used whatever their clicks here; new ones need
        `min_item_count` as in `fit`, and `metrics["clicks_left"]` has what the filters
        left. The training sees the new clicks alone: its learning rate is a tenth of
        that of `fit` by default, as the whole rate makes a model worse, and a model is
        better fitted again on all clicks from time to time.

        Args:
          clicks: New clicks, as for `fit`.
          item: As for `fit`.
          time: As for `fit`.
          session: As for `fit`.
          user: As for `fit`.
          session_timeout: As for `fit`.
          refit: As for `fit`.
          workdir: As for `fit`.
          **settings: Settings of the training and the protocol that differ from
            those of the present run.

        Returns:
          A new recommender, which knows the old items and the new ones; this one
          is unchanged.

        Raises:
          HlnError: It has no run, its model has no weights, or the clicks cannot
            be used.
          UsageError: A value is not allowed; the model's own settings cannot change.
          TypeError: As for `fit`; or a model is named, which cannot change.
        """
        if self.run is None:
            raise HlnError("there is no run to start from: this recommender was made from a model")
        config = self.run.config()
        if not isinstance(self.model, SessionEncoder):
            raise HlnError(f"{config.model} has no weights to start from: fit it on all clicks")
        settings, protocol = split_protocol(
            update_settings(config, settings, not isinstance(clicks, SessionDataset))
        )
        dataset = dataset_of_clicks(
            clicks,
            Columns(item, time, session, user),
            {"session_timeout": session_timeout, **protocol},
            self._vocabulary,
            config.data.separator,
        )
        settings |= {"refit": refit}
        return self._fit(dataset, config.model, None, settings, workdir, self.run)


def load(path: str | os.PathLike[str], **options: Any) -> Recommender:
    """Load a recommender: what `save` wrote, or a run of `python -m hln_tf.train`.

    A model of your own must be registered first, by `hln_tf.register_model`.

    Args:
      path: The run directory.
      **options: See `Recommender.load`.

    Raises:
      HlnError: The directory contains no trained model, or one that is not registered.
    """
    return Recommender.load(path, **options)


def explain(
    model: Recommender | SessionScorer | str | os.PathLike[str],
    session: str | Sequence[str],
    k: int = 20,
) -> Explanation:
    """Explain a session by its preference groups.

    `Recommender.explain` explains many sessions together.

    Args:
      model: A `Recommender`, a model from `load_model`, or a run directory. The
        latter two are converted to a recommender at each call, which takes some
        seconds.
      session: Item ids, oldest first; as one string, joined by the data set's
        separator. Unknown ones are skipped.
      k: Number of items for each group.

    Returns:
      The clicks that the model uses, their retention in each group, and each
      group's nearest items.

    Raises:
      HlnError: The model has no preference groups, or the run no trained model.
      UsageError: The model was not loaded from a run directory, `session` is not one
        session, or `k` is below 1.
    """
    if k < 1:
        raise UsageError(f"`k` is {k}, expected at least 1")
    if isinstance(session, list | tuple) and {type(each) for each in session} & {list, tuple}:
        raise UsageError(
            "`session` is several: hln_tf.explain takes one, Recommender.explain takes several"
        )
    if isinstance(model, SessionScorer):
        if model.workdir is None:
            raise UsageError(
                "the model was not loaded from a workdir, so its item ids are unknown: "
                "pass a Recommender, which has them"
            )
        model = Recommender.from_run(RunDirectory(model.workdir), model)
    elif not isinstance(model, Recommender):
        model = Recommender.load(model)
    (explanation,) = model.explain([session], k)
    return explanation
