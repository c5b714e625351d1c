"""The package's operations that are measured.

All calls of the package's training and evaluation loops by the benchmarks are here.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.prefetching import prefetched
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.layers.catalogue_scores import catalogue_top_k
from hln_tf.models import HLN, SessionEncoder, SessionScorer
from hln_tf.retrieval import ServingSettings
from hln_tf.retrieval.index import CandidateRanker
from hln_tf.tasks import FullSoftmax
from hln_tf.training import RunConfig, TrainingSettings
from hln_tf.training.evaluation import evaluate
from hln_tf.training.gradients import replica_gradients
from hln_tf.training.optimizers import LazyAdam
from hln_tf.training.ranking import batches_by_length
from hln_tf.training.steps import StepInputs, TrainingSteps, compile_step
from hln_tf.training.trainer import make_optimizer


def read_prefixes(data_dir: Path, split: str) -> Prefixes:
    """Read the prefixes of a split, cut to the default maximum length."""
    return Prefixes.from_sessions(read_sessions(data_dir, split), TrainingSettings().max_length)


def create_hln(num_items: int, seed: int, precision: str = "float32", **settings: Any) -> HLN:
    """Create HLN with the paper's sizes and initial weights from a seed."""
    keras.utils.set_random_seed(seed)
    model = HLN(num_items, loss=FullSoftmax(precision), **settings)
    model.build()
    return model


def training_step(model: SessionEncoder, settings: TrainingSettings) -> Callable[..., None]:
    """Compile a training step, a function of `items`, `target` and `seed`."""
    return compile_step(model, make_optimizer(settings), keras.metrics.Mean())


def training_pass(
    model: SessionEncoder,
    settings: TrainingSettings,
    prefixes: Prefixes,
    chosen: npt.NDArray[np.int64],
    is_ahead: bool = False,
) -> Callable[[], None]:
    """Make a pass of the training loop's steps over chosen examples, in their order.

    Args:
      model: The model.
      settings: Settings of the training.
      prefixes: All examples.
      chosen: int64 [chosen], examples.
      is_ahead: Whether a thread makes the batches ahead of the steps.
    """
    longest = int(prefixes.lengths[chosen].max())
    optimizer, loss = make_optimizer(settings), keras.metrics.Mean()
    take = TrainingSteps(model, optimizer, loss, settings, longest)

    def inputs() -> Iterator[StepInputs]:
        batches = prefixes.batches(chosen, settings.batch_size)
        for first in itertools.count(0, settings.steps_per_execution):
            several = list(itertools.islice(batches, settings.steps_per_execution))
            if not several:
                return
            seeds = [[1, first + place] for place in range(len(several))]
            yield StepInputs.stack(several, np.array(seeds, np.int32))

    def run() -> None:
        made = inputs()
        with prefetched(made) if is_ahead else nullcontext(made) as prepared:
            for each in prepared:
                take(each)
        tf.test.experimental.sync_devices()

    return run


class NoiseGivenHLN(HLN):
    """HLN whose gates' noise, [L, batch, time], is given as the seed.

    Random numbers of one seed differ between TensorFlow and XLA, so they are an
    input of a step that runs as both. Dropout is not supported.
    """

    def noise(self, items: tf.Tensor, training: bool, seed: Any) -> tf.Tensor:
        """Return the noise that is given; in evaluation see `HLN`."""
        return seed if training else super().noise(items, training, seed)


def training_step_with_noise(model: NoiseGivenHLN, optimizer: Any) -> Callable[..., tf.Tensor]:
    """Make the training loop's step, a function of `items`, `target` and `noise` to the loss."""

    def train_step(items: tf.Tensor, target: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        loss, gradients = replica_gradients(
            model, {"items": items, "target": target, "seed": noise}
        )
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return train_step


def initial_model(config: RunConfig, seed: int, counted: Sessions) -> SessionScorer:
    """Create a run's model with the initial weights of a seed and the counts of its items."""
    keras.utils.set_random_seed(seed)
    model = config.create_model()
    model.fit_counts(counted)
    return model


def weighted_training_step(model: SessionEncoder, optimizer: Any) -> Callable[..., tf.Tensor]:
    """Make the training loop's step for batches whose last rows may be fillers of weight 0.

    The gradient by an item table is dense, as a compiler needs it. Updates by SGD and
    Adagrad are the same; Adam's would not be lazy.

    Args:
      model: The model.
      optimizer: Its optimiser.

    Returns:
      A function of `items` int32 [batch, time], `target` int32 [batch], `weight`
      float32 [batch] and `seed` int32 [2] to the loss.

    Raises:
      ValueError: Dense updates would differ from those of the training loop.
    """
    is_lazy = isinstance(optimizer, LazyAdam) or optimizer.gradient_transformers
    if is_lazy and not model.retrieval_loss.reads_all_items:
        raise ValueError("adam and l2 update only the item embeddings that are sampled in a step")

    def train_step(
        items: tf.Tensor, target: tf.Tensor, weight: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        batch = {"items": items, "target": target, "weight": weight, "seed": seed}
        loss, gradients = replica_gradients(model, batch)
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        optimizer.apply_gradients(zip(dense, model.trainable_variables, strict=True))
        model.after_step(items)
        return loss

    return train_step


def create_ranker(model: SessionScorer, k: int) -> CandidateRanker:
    """Create the part of a server's graph from item indices to the k best items."""
    return CandidateRanker(model, None, ServingSettings(k=k))


def optimizer(settings: TrainingSettings) -> Any:
    """Create the optimiser of a training."""
    return make_optimizer(settings)


def rank_targets(model: SessionScorer, prefixes: Prefixes, batch_size: int) -> None:
    """Rank the target of each prefix among all items, as evaluation does."""
    with StopOnSignal() as stop:
        evaluate(model, prefixes, batch_size, "ranking", stop)


def rank_each_prefix(model: SessionScorer, prefixes: Prefixes, batch_size: int) -> None:
    """Rank the target of each prefix with an encoding of its own, equal ones too."""
    for _, batch in batches_by_length(prefixes, batch_size, "ranking"):
        model.compiled_rank_targets(batch["items"], batch["target"])[0].numpy()


def top_k(model: SessionScorer, k: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compile the recommendation of the k best items for a batch of sessions."""
    k = min(k, model.num_items)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def recommend(items: tf.Tensor) -> tf.Tensor:
        if isinstance(model, SessionEncoder):
            return catalogue_top_k(model.encode(items), model.item_embeddings(), k)[1]
        return tf.math.top_k(model.scores(items), k).indices

    return recommend
