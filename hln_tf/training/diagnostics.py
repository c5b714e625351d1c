"""The diagnostics that `--tensorboard` adds to a training's scalars."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf.analysis.learning_curves import OF_EPOCHS
from hln_tf.analysis.pictures import draw_retention, pixels
from hln_tf.analysis.retention import (
    LENGTH,
    compiled_retention,
    mean_by_position,
    retention_of_clicks,
)
from hln_tf.data.sessions import Sessions
from hln_tf.models.encoder import SessionEncoder
from hln_tf.training.gradients import compile_gradient_norm
from hln_tf.training.projector import write_projector
from hln_tf.training.run_config import RunConfig
from hln_tf.training.tensorboard import TensorBoardLogger

# Number of sessions, the latest, of which retention is logged: they take about a second.
RETENTION_SESSIONS = 4096


class TensorBoardDiagnostics(TensorBoardLogger):
    """Logger of diagnostics in addition to scalars; training takes somewhat longer.

    It logs the graph of a step, the global norm of its gradients, after each
    epoch the retention of some sessions' clicks in the preference groups (means,
    a heatmap as in Figure 3 and histograms of the leap probabilities), and at the
    end the item embeddings.

    Args:
      directory: Directory of the event files; None to write none.
      config: The run's settings.
      sessions: Sessions of whose latest the retention is logged.
      part: Name of their part of the data, such as `validation`.
      vocabulary: Returns the item ids.
      profile_steps: See `TensorBoardLogger`.
    """

    def __init__(
        self,
        directory: Path | None,
        config: RunConfig,
        sessions: Sessions,
        part: str,
        vocabulary: Callable[[], list[str]],
        profile_steps: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(directory, profile_steps)
        self._config, self._part, self._vocabulary = config, part, vocabulary
        self._sessions = sessions.latest(RETENTION_SESSIONS)
        self._length = self._shown_length()
        self._norm: Callable[..., tf.Tensor] | None = None
        self._retention: Callable[[tf.Tensor], tf.Tensor] | None = None

    def begin(self, model: SessionEncoder, step: Any) -> None:
        """Start as `TensorBoardLogger` does, and write the step's graph."""
        self._norm = compile_gradient_norm(model)
        if model.preferences is not None and self.directory is not None:
            self._retention = compiled_retention(model)
        with self._writer.as_default(step=0):
            tf.summary.graph(step.get_concrete_function().graph)
        super().begin(model, step)

    def at_step(self, step: int, loss: float, batch: Mapping[str, tf.Tensor], seed: Any) -> None:
        """Log as `TensorBoardLogger` does, and the batch's gradient norm after the step."""
        super().at_step(step, loss, batch, seed)
        assert self._norm is not None, "begin comes first"
        norm = float(self._norm(batch["items"], batch["target"], seed))
        self._scalars({"gradient_norm": norm}, step)
        self._throughput.begin()

    def at_epoch(self, epoch: int, entry: Mapping[str, float]) -> None:
        """Log as `TensorBoardLogger` does, and the retention in the preference groups."""
        super().at_epoch(epoch, entry)
        if self._retention is None:
            return
        max_length = self._config.training.max_length
        retention = retention_of_clicks(self._retention, self._sessions, max_length)
        groups = list(enumerate(retention[:, ~np.isnan(retention[0])], start=1))
        means = {
            f"{OF_EPOCHS}retention/group_{group}": float(of_group.mean())
            for group, of_group in groups
        }
        self._scalars(means, epoch)
        with self._writer.as_default(step=epoch):
            for group, of_group in groups:
                tf.summary.histogram(f"leap_probability/group_{group}", 1 - of_group)
            if self._length:
                tf.summary.image("retention", self._heatmap(retention, self._length, epoch)[None])
        self._writer.flush()

    def finish(self, model: SessionEncoder) -> None:
        """Write the item embeddings for the Embedding Projector."""
        if self.directory is not None:
            write_projector(self.directory, model, self._vocabulary())

    def _shown_length(self) -> int | None:
        """Choose the sessions' length for the heatmap: Figure 3's, or the most frequent one."""
        lengths = self._sessions.lengths
        counts = np.bincount(lengths[lengths <= self._config.training.max_length])
        if not counts.any():
            return None
        return LENGTH if LENGTH < len(counts) and counts[LENGTH] else int(counts.argmax())

    def _heatmap(self, retention: Any, length: int, epoch: int) -> Any:
        number = np.count_nonzero(self._sessions.lengths == length)
        title = (
            f"Retention rates of {self._config.model} on {self._config.data.dataset} after epoch "
            f"{epoch}\n{number:,} {self._part} sessions of {length} clicks"
        )
        return pixels(draw_retention(mean_by_position(retention, self._sessions, length), title))
