"""Matrix products of a training step, and the machine's peak rate for their shapes."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class MatrixProduct:
    """A matrix product [rows, inner] x [inner, columns], done a number of times.

    Attributes:
      rows: Rows of the result.
      inner: The dimension of the sum.
      columns: Columns of the result.
      transpose_a: True if the first factor is stored transposed.
      transpose_b: True if the second factor is stored transposed.
      times: Number of repetitions; a fraction where part of a batch is padding.
    """

    rows: int
    inner: int
    columns: int
    transpose_a: bool = False
    transpose_b: bool = False
    times: float = 1.0

    @property
    def operations(self) -> float:
        """Floating-point operations of all repetitions."""
        return 2.0 * self.rows * self.inner * self.columns * self.times


def with_gradients(forward: Iterable[MatrixProduct]) -> list[MatrixProduct]:
    """Add the products of the gradients of both factors to each forward product."""
    products = []
    for product in forward:
        m, k, n, times = product.rows, product.inner, product.columns, product.times
        transposed = product.transpose_b
        d_first = MatrixProduct(m, n, k, transpose_b=not transposed, times=times)
        d_second = (
            MatrixProduct(n, m, k, transpose_a=True, times=times)
            if transposed
            else MatrixProduct(k, m, n, transpose_a=True, times=times)
        )
        products += [product, d_first, d_second]
    return products


def seconds_at_peak(products: Iterable[MatrixProduct], dtype: str, rounds: int = 5) -> float:
    """Compute the seconds of products at the machine's peak rate for their shapes."""
    return sum(product.operations / peak_rate(product, dtype, rounds) for product in products)


def peak_rate(product: MatrixProduct, dtype: str, rounds: int = 5) -> float:
    """Measure the highest rate of a product on this machine, in operations per second.

    Args:
      product: Its shape; `times` is ignored.
      dtype: Type of the factors.
      rounds: Number of measurements, of which the best counts.
    """
    shape = dataclasses.replace(product, times=1.0)
    if (shape, dtype) not in _PEAK_RATES:
        repetitions = min(1000, max(1, round(4e8 / shape.operations)))
        run = _repeated(shape, dtype, repetitions)
        run()
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        _PEAK_RATES[shape, dtype] = repetitions * shape.operations / min(seconds)
    return _PEAK_RATES[shape, dtype]


_PEAK_RATES: dict[tuple[MatrixProduct, str], float] = {}


def _repeated(product: MatrixProduct, dtype: str, repetitions: int) -> Callable[[], Any]:
    def factor(rows: int, columns: int, transposed: bool) -> tf.Variable:
        shape = [columns, rows] if transposed else [rows, columns]
        return tf.Variable(tf.cast(tf.random.normal(shape), dtype))

    a = factor(product.rows, product.inner, product.transpose_a)
    b = factor(product.inner, product.columns, product.transpose_b)
    out = tf.Variable(tf.zeros([product.rows, product.columns], dtype))

    @tf.function
    def run() -> None:
        # The assignment is a side effect: no repetition can be pruned or reordered.
        for _ in tf.range(repetitions):
            out.assign(
                tf.matmul(a, b, transpose_a=product.transpose_a, transpose_b=product.transpose_b)
            )

    return run
