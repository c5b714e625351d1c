"""Training throughput of HLN: the package, the plain implementation, the machine's peak."""

import functools
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.throughput.matmul import MatrixProduct, seconds_at_peak, with_gradients
from benchmarks.throughput.operations import (
    create_hln,
    optimizer,
    training_pass,
    training_step,
)
from benchmarks.throughput.plain import PlainHLN
from benchmarks.throughput.settings import ThroughputSettings
from benchmarks.timing import rate, time_interleaved, time_ratio
from hln_tf.data.prefixes import Prefixes
from hln_tf.models import HLNSettings
from hln_tf.tasks import FullSoftmax
from hln_tf.training import TrainingSettings

HEADER = (
    "batch",
    "part",
    "implementation",
    "examples/s",
    "GFLOP/s",
    "of matmul peak",
    "speed-up over plain",
)
PACKAGE, BFLOAT16, XLA = "package", "package, bfloat16", "package, XLA"
PLAIN, PLAIN_SORTED = "plain", "plain, sorted by length"
SEED = tf.constant([1, 2])
SIGNATURE = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]

Batch = dict[str, tf.Tensor]
# A function of `items` int32 [batch, time] and `target` int32 [batch].
Step = Callable[[tf.Tensor, tf.Tensor], Any]


class Part(NamedTuple):
    """A part of the training with its implementations.

    Attributes:
      name: Its name in the table.
      implementations: A round of each implementation, by name; one is `PLAIN`.
      float32: Its matrix products in float32.
      bfloat16: Its matrix products that `BFLOAT16` computes in bfloat16.
    """

    name: str
    implementations: dict[str, Callable[[], None]]
    float32: list[MatrixProduct]
    bfloat16: list[MatrixProduct]


def measure_training(
    prefixes: Prefixes, num_items: int, batch_size: int, settings: ThroughputSettings
) -> list[list[str]]:
    """Measure the training throughput for one batch size.

    All implementations train on the same prefixes: `PLAIN` in shuffled batches,
    the package and `PLAIN_SORTED` in the package's batches of similar lengths. The
    whole steps read their batches from the input pipeline unless the name says
    that they are preloaded; the parts get preloaded batches.

    Returns:
      Rows under `HEADER`.
    """
    chosen = prefixes.shuffled(batch_size, settings.seed, 0)[: settings.batches * batch_size]
    shuffled = np.random.default_rng(settings.seed).permutation(chosen)

    def by_length() -> Iterable[Batch]:
        return prefixes.batches(chosen, batch_size)

    def in_random_order() -> Iterable[Batch]:
        return prefixes.batches(shuffled, batch_size)

    preloaded = list(by_length())
    encode, plain_encode = _encoders(num_items, settings.seed)
    step, bfloat16_step, plain_step = _steps(num_items, settings.seed)
    programs = TrainingSettings(batch_size=batch_size, execution="xla", steps_per_execution=8)
    clicks = int(prefixes.lengths[chosen].sum())
    of_encoder = recurrent_products(clicks, batch_size, len(chosen), HLNSettings())
    of_softmax = softmax_products(num_items, batch_size, len(chosen), HLNSettings())
    parts = [
        Part(
            "recurrent",
            {
                PACKAGE: _epoch(lambda: preloaded, encode),
                PLAIN_SORTED: _epoch(lambda: preloaded, plain_encode),
                PLAIN: _epoch(in_random_order, plain_encode),
            },
            of_encoder,
            [],
        ),
        Part(
            "softmax",
            {
                name: _epoch(lambda: preloaded, run)
                for name, run in _softmaxes(num_items, batch_size, settings.seed).items()
            },
            [],
            of_softmax,
        ),
        Part(
            "update of X",
            {name: _epoch(lambda: preloaded, run) for name, run in _updates(num_items).items()},
            [],
            [],
        ),
        Part(
            "whole step",
            {
                PACKAGE: _epoch(by_length, step),
                "package, preloaded": _epoch(lambda: preloaded, step),
                BFLOAT16: _epoch(by_length, bfloat16_step),
                XLA: training_pass(
                    create_hln(num_items, settings.seed), programs, prefixes, chosen
                ),
                PLAIN_SORTED: _epoch(by_length, plain_step),
                PLAIN: _epoch(in_random_order, plain_step),
            },
            of_encoder,
            of_softmax,
        ),
    ]
    return [
        [str(batch_size), *row]
        for part in parts
        for row in _rows(part, len(chosen), settings.rounds, f"batch {batch_size}, {part.name}")
    ]


def _rows(part: Part, prefixes: int, rounds: int, label: str) -> Iterator[list[str]]:
    seconds_of = time_interleaved(part.implementations, rounds, label)
    operations = sum(product.operations for product in part.float32 + part.bfloat16)
    for name, seconds in seconds_of.items():
        rates = ["", ""]
        if operations:
            best_and_median = (min(seconds), statistics.median(seconds))
            peak = seconds_at_peak(part.float32, "float32")
            peak += seconds_at_peak(part.bfloat16, "bfloat16" if name == BFLOAT16 else "float32")
            rates = [
                " / ".join(f"{operations / one / 1e9:.0f}" for one in best_and_median),
                " / ".join(f"{100 * peak / one:.0f} %" for one in best_and_median),
            ]
        yield [
            part.name,
            name,
            rate(prefixes, seconds),
            *rates,
            time_ratio(seconds_of[PLAIN], seconds),
        ]


def recurrent_products(
    clicks: int, batch_size: int, prefixes: int, settings: HLNSettings
) -> list[MatrixProduct]:
    """List the products of training the encoder on prefixes, without padding (eq. 1-6).

    Args:
      clicks: Clicks of all prefixes together.
      batch_size: Prefixes in a batch.
      prefixes: Number of prefixes.
      settings: Settings of the model.
    """
    d, n, L = settings.embedding_dim, settings.hidden_dim, settings.num_groups
    rows = batch_size * max(1, round(clicks / prefixes))
    of_clicks, of_batches = clicks / rows, prefixes / batch_size
    return with_gradients(
        [
            MatrixProduct(rows, d, 3 * n, times=of_clicks),
            MatrixProduct(rows, d, d, times=of_clicks),
            MatrixProduct(batch_size, n, d, transpose_b=True, times=L * of_batches),
            MatrixProduct(batch_size, n, 3 * n, times=L * clicks / batch_size),
            MatrixProduct(batch_size, n, d, transpose_b=True, times=of_batches),
        ]
    )


def softmax_products(
    num_items: int, batch_size: int, prefixes: int, settings: HLNSettings
) -> list[MatrixProduct]:
    """List the products of training the softmax over the catalogue (eq. 7)."""
    d, times = settings.embedding_dim, prefixes / batch_size
    return with_gradients([MatrixProduct(batch_size, d, num_items, transpose_b=True, times=times)])


def _epoch(batches: Callable[[], Iterable[Batch]], step: Step) -> Callable[[], None]:
    """Make a round: a step on each batch, until the device is idle."""

    def run() -> None:
        for batch in batches():
            step(batch["items"], batch["target"])
        tf.test.experimental.sync_devices()

    return run


def _encoders(num_items: int, seed: int) -> list[Step]:
    """Compile the encoders of the package and of plain, forward and backward."""
    model = create_hln(num_items, seed)
    weights = [weight for weight in model.trainable_variables if weight is not model.X]

    def with_gradient(encode: Callable[..., tf.Tensor]) -> Step:
        @tf.function(input_signature=SIGNATURE)
        def run(items: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(encode(items, training=True, seed=SEED))
            return [tf.convert_to_tensor(part) for part in tape.gradient(total, weights)]

        return run

    return [with_gradient(model.encode), with_gradient(PlainHLN(model).encode)]


def _softmaxes(num_items: int, batch_size: int, seed: int) -> dict[str, Step]:
    """Compile the softmax over the catalogue with its gradients, for constant queries."""
    X = create_hln(num_items, seed).X
    query = tf.Variable(tf.random.stateless_normal([batch_size, X.shape[1]], SEED))

    def plain(query: tf.Tensor, X: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        scores = tf.matmul(query, X, transpose_b=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(target, scores)

    def with_gradient(losses: Callable[..., tf.Tensor]) -> Step:
        @tf.function(input_signature=SIGNATURE)
        def run(items: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(losses(query, X, target - 1))
            return tape.gradient(loss, [query, X])

        return run

    return {
        PACKAGE: with_gradient(FullSoftmax()),
        BFLOAT16: with_gradient(FullSoftmax("bfloat16")),
        PLAIN: with_gradient(plain),
    }


def _updates(num_items: int) -> dict[str, Step]:
    """Compile Adam's update of the item table."""
    settings = TrainingSettings()

    def update_by(adam: Any) -> Step:
        X = tf.Variable(tf.zeros([num_items, HLNSettings().embedding_dim]))
        gradient = tf.random.stateless_normal(X.shape, SEED)

        @tf.function(input_signature=SIGNATURE)
        def run(items: tf.Tensor, target: tf.Tensor) -> None:
            adam.apply_gradients([(gradient, X)])

        return run

    plain = keras.optimizers.Adam(settings.learning_rate)
    return {PACKAGE: update_by(optimizer(settings)), PLAIN: update_by(plain)}


def _steps(num_items: int, seed: int) -> list[Step]:
    """Compile whole steps: the package's in float32 and in bfloat16, and plain's."""
    settings = TrainingSettings()
    steps = [
        training_step(create_hln(num_items, seed, precision), settings)
        for precision in ("float32", "bfloat16")
    ]
    steps.append(PlainHLN(create_hln(num_items, seed)).compile_step(settings.learning_rate))
    return [functools.partial(step, seed=SEED) for step in steps]
