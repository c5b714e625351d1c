import pytest

from benchmarks.inference import profiled_share
from benchmarks.measure import (
    Product,
    alternate,
    machine_seconds,
    per_second,
    rate,
    ratios,
    with_gradients,
)
from benchmarks.training import recurrent_products, softmax_products
from hln_tf.models.settings import HLNSettings


def test_all_take_their_turn_once_unmeasured_and_then_in_every_round():
    calls = []
    taken = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, "x")
    assert calls == ["a", "b"] * 4
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 3, "b": 3}


def test_a_product_counts_two_operations_for_each_term():
    assert Product(3, 5, 7).operations == 2 * 3 * 5 * 7
    assert Product(3, 5, 7, times=0.5).operations == 3 * 5 * 7


@pytest.mark.parametrize("transposed", [False, True])
def test_a_step_has_three_products_of_equal_cost(transposed):
    products = with_gradients([Product(3, 5, 7, transpose_b=transposed, times=2)])
    assert [product.operations for product in products] == [420] * 3
    first, second = products[1:]
    # The gradients have the shapes of the factors: [3, 5], and [5, 7] or its transpose.
    assert (first.rows, first.columns) == (3, 5)
    assert (second.rows, second.columns) == ((7, 5) if transposed else (5, 7))


def test_padding_is_not_counted():
    settings = HLNSettings(embedding_dim=2, hidden_dim=3, num_groups=4)
    products = recurrent_products(clicks=50, batch_size=10, prefixes=20, settings=settings)
    # Multiply-adds of a click: its 9 GRU inputs and 2 gates from 2, and 9 from 3 in each pass;
    # of a prefix: U_p a in each pass and W a. Two operations each, and gradients twice as many.
    by_hand = 50 * (2 * 9 + 2 * 2 + 4 * 3 * 9) + 20 * (4 * 3 * 2 + 3 * 2)
    assert sum(product.operations for product in products) == pytest.approx(6 * by_hand)
    products = softmax_products(100, batch_size=10, prefixes=20, settings=settings)
    assert sum(product.operations for product in products) == pytest.approx(6 * 20 * 2 * 100)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("transpose", [{}, {"transpose_a": True}, {"transpose_b": True}])
def test_the_machine_has_a_rate(dtype, transpose):
    product = Product(8, 16, 32, times=3, **transpose)
    assert machine_seconds([product] * 2, dtype) == pytest.approx(
        2 * product.operations / rate(product, dtype)
    )


def test_the_best_and_the_median_are_told():
    assert ratios([4.0, 8.0, 6.0], [1.0, 2.0, 2.0]) == "4.00 / 3.00"
    assert per_second(12, [4.0, 2.0, 3.0]) == "6 / 4"


def test_a_profile_without_the_product_is_an_error():
    with pytest.raises(ValueError, match="no product in the name scope 'nowhere'"):
        profiled_share(lambda: None, "nowhere")
