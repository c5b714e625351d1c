"""The recommender of a run: loaded from its directory, described by it, saved as another one."""

import os
from typing import Any, Self

from hln_tf.common.errors import HlnError
from hln_tf.common.files import written_here
from hln_tf.models.base import SessionScorer
from hln_tf.retrieval.session_recommender import SessionRecommender
from hln_tf.training.run_directory import CONFIG, RunDirectory


class RunRecommender(SessionRecommender):
    """Recommends items for sessions of item ids by the model of a run.

    Attributes:
      run: The run, or None if it was made from a model.
    """

    run: RunDirectory | None = None

    @classmethod
    def load(cls, workdir: RunDirectory | str | os.PathLike[str], **options: Any) -> Self:
        """Load the recommender of a finished run.

        Args:
          workdir: The run directory, of `python -m hln_tf.train` or of `save`.
          **options: `candidates` and `settings` of the constructor.

        Raises:
          HlnError: The directory contains no trained model, or one of your own that is
            not registered.
        """
        if not isinstance(workdir, RunDirectory):
            workdir = RunDirectory(workdir)
        if not (workdir.path / CONFIG).is_file():
            raise HlnError(
                f"{workdir.path} is no saved recommender: name a directory written by save(...), "
                f"fit(workdir=...) or python -m hln_tf.train; an export is loaded with "
                f"tf.saved_model.load"
            )
        return cls.from_run(workdir, workdir.model(), **options)

    @classmethod
    def from_run(cls, workdir: RunDirectory, model: SessionScorer, **options: Any) -> Self:
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

    def __repr__(self) -> str:
        name = self.run.config().model if self.run else type(self.model).__name__
        sessions = self.metrics.get("sessions", {})
        parts = self.metrics.get("trained_on", "").split("+")
        trained = sum(sessions.get(part, 0) for part in parts)
        more = f", trained on {trained:,} sessions" if trained else ""
        return f"{type(self).__name__}({name}, {len(self.known):,} items{more})"

    @property
    def metrics(self) -> dict[str, Any]:
        """The results of its run, the content of `metrics.json`; empty without a run.

        Among them `validation`, and `test` where there is a test part, `history` with
        an entry for each epoch, `best_epoch`, `sessions` and, of a table, `clicks_left`:
        the clicks that were read and that each filter left.
        """
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
        self.run = self.run.copy_to(written_here(path, "path"))
