import pytest

from benchmarks.throughput.matmul import (
    MatrixProduct,
    peak_rate,
    seconds_at_peak,
    with_gradients,
)


def test_a_product_counts_two_operations_for_each_term():
    assert MatrixProduct(3, 5, 7).operations == 2 * 3 * 5 * 7
    assert MatrixProduct(3, 5, 7, times=0.5).operations == 3 * 5 * 7


@pytest.mark.parametrize("transposed", [False, True])
def test_a_step_has_three_products_of_equal_cost(transposed):
    products = with_gradients([MatrixProduct(3, 5, 7, transpose_b=transposed, times=2)])
    assert [product.operations for product in products] == [420] * 3
    first, second = products[1:]
    # The gradients have the shapes of the factors: [3, 5], and [5, 7] or its transpose.
    assert (first.rows, first.columns) == (3, 5)
    assert (second.rows, second.columns) == ((7, 5) if transposed else (5, 7))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("transpose", [{}, {"transpose_a": True}, {"transpose_b": True}])
def test_the_machine_has_a_peak_rate(dtype, transpose):
    product = MatrixProduct(8, 16, 32, times=3, **transpose)
    assert seconds_at_peak([product] * 2, dtype) == pytest.approx(
        2 * product.operations / peak_rate(product, dtype)
    )
