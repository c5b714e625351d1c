"""The tables of training, prediction and evaluation throughput of HLN."""

import re

import pytest
from commands import run

from benchmarks.throughput.evaluation import profiled_share
from benchmarks.throughput.training import recurrent_products, softmax_products
from hln_tf.models import HLNSettings

QUICK = ("--batches", "2", "--rounds", "1")


def table(name, data, *sizes):
    """Run a benchmark, and return its outcome and the cells of its table, header included."""
    outcome = run(f"benchmarks.{name}", "--data_dir", data, "--batch_size", *sizes, *QUICK)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    return outcome, [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line
    ]


@pytest.mark.parametrize(
    ("name", "sizes", "unit", "implementations"),
    [
        (
            "training",
            ["4"],
            "examples/s",
            ["package", "plain, sorted by length", "package, bfloat16", "package, XLA"],
        ),
        ("prediction", ["4", "8"], "sessions/s", ["package"]),
        ("evaluation", ["4", "8"], "examples/s", ["package"]),
    ],
)
@pytest.mark.slow
def test_tables_of_all_batch_sizes(name, sizes, unit, implementations, data):
    outcome, rows = table(name, data, *sizes)
    assert unit in rows[0] and rows[0][-1] == "speed-up over plain"
    for size in sizes:
        of_size = [row for row in rows if row[0] == size]
        assert {*implementations, "plain"} <= {cell for row in of_size for cell in row}
        # The baseline is compared with itself.
        assert all(row[-1] == "1.00 / 1.00" for row in of_size if "plain" in row)
    shares = re.findall(r"batch \d+: (\d+) % of the time in the scoring product", outcome.out)
    assert len(shares) == (2 if name == "evaluation" else 0)
    assert all(0 <= int(share) <= 100 for share in shares)


@pytest.mark.slow
def test_each_gate_is_compared_with_the_additive_one(data):
    _, rows = table("gates", data, "4")
    ratios = {row[1]: row[3] for row in rows}
    assert len(ratios) == 2 + 6
    assert ratios["additive"] == ratios["additive, normalize"] == "1.00 / 1.00"
    assert "predictive, exclusive groups" in ratios


@pytest.mark.slow
def test_executions_are_compared_with_a_graph_of_one_step(data):
    _, rows = table("execution", data, "4")
    found = rows[2:]
    assert [row[1] for row in found] == ["graph", "graph", "graph", "xla", "xla"]
    assert found[0][5] == "1.00 / 1.00" and all(re.match(r"[\d,]+ / ", row[4]) for row in found)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--data_dir"),
        (["--data_dir", "x", "--batch_size", "0"], "--batch_size has 0, expected"),
        (["--data_dir", "x", "--rounds", "0"], "--rounds is 0"),
        (["--data_dir", "nowhere"], "nowhere"),
    ],
)
@pytest.mark.parametrize("name", ["training", "prediction", "evaluation", "gates", "execution"])
def test_bad_input(name, flags, message):
    outcome = run(f"benchmarks.{name}", *flags)
    assert message in outcome.sentence(1 if "nowhere" in flags else 2)
    assert outcome.err.count("\n") == 1


def test_padding_is_not_counted():
    settings = HLNSettings(embedding_dim=2, hidden_dim=3, num_groups=4)
    products = recurrent_products(clicks=50, batch_size=10, prefixes=20, settings=settings)
    # Multiply-adds of a click: its 9 GRU inputs and 2 gates from 2, and 9 from 3 in each pass;
    # of a prefix: U_p a in each pass and W a. Two operations each, and gradients twice as many.
    by_hand = 50 * (2 * 9 + 2 * 2 + 4 * 3 * 9) + 20 * (4 * 3 * 2 + 3 * 2)
    assert sum(product.operations for product in products) == pytest.approx(6 * by_hand)
    products = softmax_products(100, batch_size=10, prefixes=20, settings=settings)
    assert sum(product.operations for product in products) == pytest.approx(6 * 20 * 2 * 100)


def test_a_profile_without_the_product_is_an_error():
    with pytest.raises(ValueError, match="no product in the name scope 'nowhere'"):
        profiled_share(lambda: None, "nowhere")
