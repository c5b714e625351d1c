"""Times of things done in turn, and the machine's own rates of matrix products."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from hln_tf.common.progress import progress_bar


def alternate(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, label: str
) -> dict[str, list[float]]:
    """Runs things in turn, once unmeasured and then round after round.

    Args:
      contestants: What to run, by name.
      rounds: How often.
      label: What the progress bar shows.

    Returns:
      Seconds that each one took in each round.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    with progress_bar(label, "runs", (rounds + 1) * len(contestants)) as bar:
        for turn in range(rounds + 1):
            for name, run in contestants.items():
                started = time.perf_counter()
                run()
                if turn:
                    taken[name].append(time.perf_counter() - started)
                bar.update()
    return taken


@dataclasses.dataclass(frozen=True)
class Product:
    """A matrix product [rows, inner] x [inner, columns] and how much of it counts.

    Attributes:
      rows: Rows of the result.
      inner: What is summed over.
      columns: Columns of the result.
      transpose_a: Whether the first factor is stored transposed.
      transpose_b: Whether the second one is.
      times: How often it is done; a fraction where part of it is padding.
    """

    rows: int
    inner: int
    columns: int
    transpose_a: bool = False
    transpose_b: bool = False
    times: float = 1.0

    @property
    def operations(self) -> float:
        """Floating-point operations that count."""
        return 2.0 * self.rows * self.inner * self.columns * self.times


def with_gradients(forward: Iterable[Product]) -> list[Product]:
    """Products of a training step: each with those of its two factors' gradients."""
    products = []
    for made in forward:
        m, k, n, transposed, times = (
            made.rows,
            made.inner,
            made.columns,
            made.transpose_b,
            made.times,
        )
        d_first = Product(m, n, k, transpose_b=not transposed, times=times)
        d_second = (
            Product(n, m, k, transpose_a=True, times=times)
            if transposed
            else Product(k, m, n, transpose_a=True, times=times)
        )
        products += [made, d_first, d_second]
    return products


def machine_seconds(products: Iterable[Product], dtype: str, rounds: int = 5) -> float:
    """Seconds that the products would take at the machine's own rate for their shapes."""
    return sum(product.operations / rate(product, dtype, rounds) for product in products)


def rate(product: Product, dtype: str, rounds: int = 5) -> float:
    """The best rate of a product on this machine, operations per second.

    Args:
      product: Its shape; how often it counts does not matter.
      dtype: Type of the factors.
      rounds: Of how many measurements the best is taken.
    """
    shape = dataclasses.replace(product, times=1.0)
    if (shape, dtype) not in _RATES:
        repeats = min(1000, max(1, round(4e8 / shape.operations)))
        run = _repeated(shape, dtype, repeats)
        run()
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        _RATES[shape, dtype] = repeats * shape.operations / min(seconds)
    return _RATES[shape, dtype]


_RATES: dict[tuple[Product, str], float] = {}


def _repeated(product: Product, dtype: str, repeats: int) -> Callable[[], Any]:
    def factor(rows: int, columns: int, transposed: bool) -> tf.Variable:
        shape = [columns, rows] if transposed else [rows, columns]
        return tf.Variable(tf.cast(tf.random.normal(shape), dtype))

    a = factor(product.rows, product.inner, product.transpose_a)
    b = factor(product.inner, product.columns, product.transpose_b)
    out = tf.Variable(tf.zeros([product.rows, product.columns], dtype))

    @tf.function
    def run() -> None:
        # Assigning moves the product and orders the repeats; none can be left out.
        for _ in tf.range(repeats):
            out.assign(
                tf.matmul(a, b, transpose_a=product.transpose_a, transpose_b=product.transpose_b)
            )

    return run


def ratios(slower: Sequence[float], faster: Sequence[float]) -> str:
    """How many times faster, by the minima and by the medians."""
    least = min(slower) / min(faster)
    middle = statistics.median(slower) / statistics.median(faster)
    return f"{least:.2f} / {middle:.2f}"


def per_second(count: float, seconds: Sequence[float]) -> str:
    """Things per second, in the best round and in the median."""
    return f"{count / min(seconds):,.0f} / {count / statistics.median(seconds):,.0f}"
