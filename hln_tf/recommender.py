"""Recommendations for sessions of item ids, from Python."""

import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hln_tf.analysis.explanation import Explanation
from hln_tf.common import files
from hln_tf.common.errors import HlnError, SettingError, UsageError
from hln_tf.common.text import split_session
from hln_tf.data.dataset import SessionDataset, sessions_of_clicks
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.export.model_card import describe_run
from hln_tf.export.saved_model import export
from hln_tf.metrics.ranking import KS
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder
from hln_tf.retrieval.session_recommender import SessionRecommender
from hln_tf.training.evaluation import evaluate_sessions
from hln_tf.training.fitting import check_settings, fit_dataset, run_config
from hln_tf.training.run_directory import RunDirectory

# Examples that `evaluate` ranks at a time.
BATCH_SIZE = 1024

_COLUMNS_MISSING = "a table of clicks needs its columns: item=..., time=... and session=..."


class Recommender(SessionRecommender):
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
    >>> recommender.recommend([["a", "b"]], k=1)[0].items[0][0]
    'c'
    """

    run: RunDirectory | None = None
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
        model: str = "hln",
        preset: str | None = None,
        refit: bool = True,
        workdir: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> "Recommender":
        """Train a model on clicks.

        The latest tenth of the sessions chooses the epoch; then, with `refit`, a
        new model is trained on all of them for as many epochs.

        Args:
          clicks: A pandas DataFrame, an Arrow table, or a `SessionDataset`.
          item: Column of the item, or several whose values are joined.
          time: Column of the time, see `SessionDataset.from_clicks`.
          session: Column of the session.
          user: Column of the user instead, with `session_timeout`.
          model: Name of the model, such as `hln`, `narm` or `sknn`.
          preset: Name of one of the model's presets; its first one by default.
          refit: Whether to train the final model on all sessions.
          workdir: Where the run is written, from which an interrupted training
            resumes; a temporary directory by default.
          **settings: Settings by the names of `python -m hln_tf.train`'s flags: of
            the model, its training and, for a table, the protocol, such as
            `min_item_count`. `test_seconds` holds out a test part, which is
            evaluated, see `metrics`.

        Raises:
          HlnError: The clicks cannot be used, or nothing is left of them.
          UsageError: A value is not allowed, or the table has no such column.
          TypeError: There is no such setting, or no column is named.
        """
        check_settings(model, settings, not isinstance(clicks, SessionDataset))
        return cls._fit(
            _dataset(clicks, item, time, session, user, settings),
            model,
            preset,
            {**settings, "refit": refit},
            workdir,
        )

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
        run = RunDirectory(workdir)
        results = fit_dataset(dataset, config, run)
        if "best_epoch" in results:
            print(
                f"validation chose epoch {results['best_epoch']} of {len(results['history'])}; "
                f"the model is trained on {results['trained_on']}",
                file=sys.stderr,
            )
        recommender = cls.load(run)
        recommender._temporary = temporary
        return recommender

    @classmethod
    def load(cls, workdir: RunDirectory | str | os.PathLike[str], **options: Any) -> "Recommender":
        """Load the recommender of a finished run.

        Args:
          workdir: The run directory, of `python -m hln_tf.train` or of `save`.
          **options: `candidates` and `settings` of the constructor.

        Raises:
          HlnError: The directory contains no trained model.
        """
        if not isinstance(workdir, RunDirectory):
            workdir = RunDirectory(workdir)
        return cls.from_run(workdir, workdir.model(), **options)

    @classmethod
    def from_run(cls, workdir: RunDirectory, model: SessionScorer, **options: Any) -> "Recommender":
        """Make the recommender of a run whose model is loaded.

        Args:
          workdir: The run directory.
          model: The run's model.
          **options: `candidates` and `settings` of the constructor.
        """
        config = workdir.config()
        max_length, separator = config.training.max_length, config.data.separator
        recommender = cls(model, workdir.vocabulary(), max_length, separator, **options)
        recommender.run = workdir
        return recommender

    @property
    def metrics(self) -> dict[str, Any]:
        """The results of its run: validation, history, test and so on; empty without a run."""
        return (self.run.metrics() if self.run else None) or {}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save it as a run directory, which `load` and every command open.

        Args:
          path: The directory, which must be missing or empty.

        Raises:
          HlnError: It has no run, or `path` is not empty.
        """
        if self.run is None:
            raise HlnError("there is no run to save: this recommender was made from a model")
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise HlnError(f"{path} exists already: choose another directory, or remove it")
        with files.atomic_directory(path) as temporary:
            ignored = shutil.ignore_patterns(".lock")
            shutil.copytree(self.run.path, temporary, dirs_exist_ok=True, ignore=ignored)
        self.run = RunDirectory(path)

    def export(
        self,
        base: str | os.PathLike[str],
        run: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Path:
        """Write a SavedModel for TensorFlow Serving; see `hln_tf.export.export`.

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
        return export(self.graph, Path(base), run, version)

    def evaluate(
        self,
        data: Any,
        k: int | Sequence[int] = KS,
        *,
        item: str | Sequence[str] | None = None,
        time: str | None = None,
        session: str | None = None,
        user: str | None = None,
        session_timeout: int = 0,
    ) -> dict[str, float]:
        """Evaluate on later sessions, whose items are matched by their ids.

        Every click but the first of a session is a target. One that the model does
        not know is a miss, and left out of the prefixes after it.

        Args:
          data: A table of clicks, or sessions as for `recommend`.
          k: The cut-offs.
          item: Column of the item, for a table.
          time: Column of the time.
          session: Column of the session.
          user: Column of the user instead.
          session_timeout: Seconds of inactivity that end a user's session.

        Returns:
          Recall and MRR by name, such as `mrr@20`, as fractions of 1, and the counts
          `sessions`, `examples`, `unknown_clicks` and `unknown_targets`.

        Raises:
          HlnError: There is nothing to predict, or a value cannot be used.
        """
        ks = tuple(k) if isinstance(k, tuple | list | np.ndarray) else (k,)
        for each in ks:
            self._check_k(each)
        is_table = hasattr(data, "columns") or hasattr(data, "column_names")
        if is_table and (item is None or time is None):
            raise TypeError(_COLUMNS_MISSING)
        if item is not None and time is not None:
            sessions = sessions_of_clicks(
                data, item=item, time=time, session=session, user=user, timeout=session_timeout
            )
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
        refit: bool = True,
        workdir: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> "Recommender":
        """Train on new clicks, from the present weights and with items that are new.

        Args:
          clicks: New clicks, as for `fit`.
          item: As for `fit`.
          time: As for `fit`.
          session: As for `fit`.
          user: As for `fit`.
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
          TypeError: As for `fit`.
        """
        if self.run is None:
            raise HlnError("there is no run to start from: this recommender was made from a model")
        config = self.run.config()
        if not isinstance(self.model, SessionEncoder):
            raise HlnError(f"{config.model} has no weights to start from: fit it on all clicks")
        check_settings(config.model, settings, not isinstance(clicks, SessionDataset))
        for name, value in dataclasses.asdict(config.model_settings).items():
            if settings.get(name, value) != value:
                raise SettingError(name, settings[name], f"{value!r}, as in the present model")
        dataset = _dataset(clicks, item, time, session, user, settings)
        own = dataclasses.asdict(config.training) | dataclasses.asdict(config.model_settings)
        return self._fit(
            dataset.with_items(self._vocabulary),
            config.model,
            None,
            {**own, **settings, "refit": refit},
            workdir,
            self.run,
        )


def _dataset(
    clicks: Any,
    item: str | Sequence[str] | None,
    time: str | None,
    session: str | None,
    user: str | None,
    settings: dict[str, Any],
) -> SessionDataset:
    """Make a data set of clicks; the protocol's settings are removed from `settings`."""
    if isinstance(clicks, SessionDataset):
        columns = {"item": item, "time": time, "session": session, "user": user}
        given = [name for name, column in columns.items() if column is not None]
        if given:
            raise TypeError(f"a SessionDataset has no columns: leave out {', '.join(given)}")
        return clicks
    if item is None or time is None:
        raise TypeError(_COLUMNS_MISSING)
    names = {field.name for field in dataclasses.fields(ProtocolSettings)} | {"separator"}
    protocol = {name: settings.pop(name) for name in names & settings.keys()}
    return SessionDataset.from_clicks(
        clicks, item=item, time=time, session=session, user=user, **{"test_seconds": 0, **protocol}
    )


def load(path: str | os.PathLike[str], **options: Any) -> Recommender:
    """Load a recommender: what `save` wrote, or a run of `python -m hln_tf.train`.

    Args:
      path: The run directory.
      **options: See `Recommender.load`.

    Raises:
      HlnError: The directory contains no trained model.
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
      UsageError: The model was not loaded from a run directory, or `k` is below 1.
    """
    if k < 1:
        raise UsageError(f"`k` is {k}, expected at least 1")
    if isinstance(model, SessionScorer):
        if model.workdir is None:
            raise UsageError(
                "the model was not loaded from a workdir, so its item ids are unknown: "
                "pass a Recommender, which has them"
            )
        model = Recommender.from_run(RunDirectory(model.workdir), model)
    elif not isinstance(model, Recommender):
        model = Recommender.load(model)
    items = split_session(session, model.separator) if isinstance(session, str) else session
    (explanation,) = model.explain([items], k)
    return explanation
