"""Training steps: the package against the plain implementation and the machine."""

import functools
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.measure import (
    Product,
    alternate,
    machine_seconds,
    per_second,
    ratios,
    with_gradients,
)
from benchmarks.paper_model import new_model
from benchmarks.plain import PlainHLN
from benchmarks.settings import BenchmarkSettings
from hln_tf.data.prefixes import Prefixes
from hln_tf.models.settings import HLNSettings
from hln_tf.tasks.full_softmax import FullSoftmaxRetrieval
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.trainer import compile_step, make_optimizer

HEADER = (
    "batch",
    "part",
    "who",
    "sequences/s",
    "GFLOP/s",
    "of the machine's rate",
    "times as fast as plain",
)
ROUNDED, PLAIN = "package, bfloat16", "plain"
SEED = tf.constant([1, 2])
SIGNATURE = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]

Batch = dict[str, tf.Tensor]


class Part(NamedTuple):
    """A part of the training and who does it.

    Attributes:
      name: What the table calls it.
      contestants: What each one runs in a round, by name; one is `PLAIN`.
      products: Its matrix products, in float32.
      rounded: Those that `ROUNDED` does in bfloat16.
    """

    name: str
    contestants: dict[str, Callable[[], None]]
    products: list[Product]
    rounded: list[Product]


def compare_training(
    prefixes: Prefixes, num_items: int, batch_size: int, settings: BenchmarkSettings
) -> list[list[str]]:
    """Rows of the table of training speed for one batch size.

    All see the same prefixes: `plain` in batches as they come at random, the
    package and `plain, like lengths` in the package's own batches. Where the
    name does not say otherwise, batches come from the input pipeline.
    """
    chosen = prefixes.shuffled(batch_size, settings.seed, 0)[: settings.batches * batch_size]
    shuffled = np.random.default_rng(settings.seed).permutation(chosen)

    def alike() -> Iterable[Batch]:
        return prefixes.batches(chosen, batch_size)

    def mixed() -> Iterable[Batch]:
        return prefixes.batches(shuffled, batch_size)

    at_hand = list(alike())
    encode, plain_encode = _encoders(num_items, settings.seed)
    step, rounded_step, plain_step = _steps(num_items, settings.seed)
    clicks = int(prefixes.lengths[chosen].sum())
    of_encoder = recurrent_products(clicks, batch_size, len(chosen), HLNSettings())
    of_softmax = softmax_products(num_items, batch_size, len(chosen), HLNSettings())
    parts = [
        Part(
            "recurrent",
            {
                "package": _over(lambda: at_hand, encode),
                "plain, like lengths": _over(lambda: at_hand, plain_encode),
                PLAIN: _over(mixed, plain_encode),
            },
            of_encoder,
            [],
        ),
        Part(
            "softmax",
            {
                name: _over(lambda: at_hand, run)
                for name, run in _softmaxes(num_items, batch_size, settings.seed).items()
            },
            [],
            of_softmax,
        ),
        Part(
            "update of X",
            {name: _over(lambda: at_hand, run) for name, run in _updates(num_items).items()},
            [],
            [],
        ),
        Part(
            "whole step",
            {
                "package": _over(alike, step),
                "package, batches at hand": _over(lambda: at_hand, step),
                ROUNDED: _over(alike, rounded_step),
                "plain, like lengths": _over(alike, plain_step),
                PLAIN: _over(mixed, plain_step),
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
    taken = alternate(part.contestants, rounds, label)
    operations = sum(product.operations for product in part.products + part.rounded)
    for name, seconds in taken.items():
        each = (min(seconds), statistics.median(seconds))
        rates = ["", ""]
        if operations:
            machine = machine_seconds(part.products, "float32")
            machine += machine_seconds(part.rounded, "bfloat16" if name == ROUNDED else "float32")
            rates = [
                " / ".join(f"{operations / one / 1e9:.0f}" for one in each),
                " / ".join(f"{100 * machine / one:.0f} %" for one in each),
            ]
        yield [
            part.name,
            name,
            per_second(prefixes, seconds),
            *rates,
            ratios(taken[PLAIN], seconds),
        ]


def recurrent_products(
    clicks: int, batch_size: int, prefixes: int, settings: HLNSettings
) -> list[Product]:
    """The products of training the encoder on prefixes, without padding (eq. 1-6).

    Args:
      clicks: Clicks in all prefixes together.
      batch_size: Prefixes in a batch.
      prefixes: How many there are.
      settings: The model's.
    """
    d, n, L = settings.embedding_dim, settings.hidden_dim, settings.num_groups
    rows = batch_size * max(1, round(clicks / prefixes))
    of_clicks, of_batches = clicks / rows, prefixes / batch_size
    return with_gradients(
        [
            Product(rows, d, 3 * n, times=of_clicks),
            Product(rows, d, d, times=of_clicks),
            Product(batch_size, n, d, transpose_b=True, times=L * of_batches),
            Product(batch_size, n, 3 * n, times=L * clicks / batch_size),
            Product(batch_size, n, d, transpose_b=True, times=of_batches),
        ]
    )


def softmax_products(
    num_items: int, batch_size: int, prefixes: int, settings: HLNSettings
) -> list[Product]:
    """The products of training the softmax over the catalogue (eq. 7)."""
    times = prefixes / batch_size
    scores = Product(batch_size, settings.embedding_dim, num_items, transpose_b=True, times=times)
    return with_gradients([scores])


def _over(
    batches: Callable[[], Iterable[Batch]], run: Callable[[tf.Tensor, tf.Tensor], Any]
) -> Callable[[], None]:
    def whole_round() -> None:
        for batch in batches():
            run(batch["items"], batch["target"])
        tf.test.experimental.sync_devices()

    return whole_round


def _encoders(num_items: int, seed: int) -> list[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """The recurrent parts, forward and backward, of the package and of plain."""
    model = new_model(num_items, seed)
    weights = [weight for weight in model.trainable_variables if weight is not model.X]

    def gradients_of(encode: Callable[..., tf.Tensor]) -> Any:
        @tf.function(input_signature=SIGNATURE)
        def run(items: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(encode(items, training=True, seed=SEED))
            return [tf.convert_to_tensor(part) for part in tape.gradient(total, weights)]

        return run

    return [gradients_of(model.encode), gradients_of(PlainHLN(model).encode)]


def _softmaxes(
    num_items: int, batch_size: int, seed: int
) -> dict[str, Callable[[tf.Tensor, tf.Tensor], Any]]:
    """The softmax over the catalogue with its gradients, for queries at hand."""
    X = new_model(num_items, seed).X
    query = tf.Variable(tf.random.stateless_normal([batch_size, X.shape[1]], SEED))

    def plain(query: tf.Tensor, X: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        scores = tf.matmul(query, X, transpose_b=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(target, scores)

    def gradients_of(losses: Callable[..., tf.Tensor]) -> Any:
        @tf.function(input_signature=SIGNATURE)
        def run(items: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(losses(query, X, target - 1))
            return tape.gradient(loss, [query, X])

        return run

    return {
        "package": gradients_of(FullSoftmaxRetrieval().losses),
        ROUNDED: gradients_of(FullSoftmaxRetrieval(precision="bfloat16").losses),
        PLAIN: gradients_of(plain),
    }


def _updates(num_items: int) -> dict[str, Callable[[tf.Tensor, tf.Tensor], Any]]:
    """Adam's update of the item table."""
    settings = TrainingSettings()

    def update_by(optimizer: Any) -> Any:
        X = tf.Variable(tf.zeros([num_items, HLNSettings().embedding_dim]))
        gradient = tf.random.stateless_normal(X.shape, SEED)

        @tf.function(input_signature=SIGNATURE)
        def run(items: tf.Tensor, target: tf.Tensor) -> None:
            optimizer.apply_gradients([(gradient, X)])

        return run

    plain = keras.optimizers.Adam(settings.learning_rate)
    return {"package": update_by(make_optimizer(settings)), PLAIN: update_by(plain)}


def _steps(num_items: int, seed: int) -> list[Callable[[tf.Tensor, tf.Tensor], Any]]:
    """Whole steps: the package's in float32 and with bfloat16 products, and plain's."""
    settings = TrainingSettings()

    def package(precision: str) -> Callable[..., None]:
        model = new_model(num_items, seed, precision)
        return compile_step(model, make_optimizer(settings), keras.metrics.Mean())

    plain = PlainHLN(new_model(num_items, seed)).compile_step(settings.learning_rate)
    steps = (package("float32"), package("bfloat16"), plain)
    return [functools.partial(step, seed=SEED) for step in steps]
