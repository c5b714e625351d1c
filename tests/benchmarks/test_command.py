import re

import pytest
from commands import run

QUICK = ("--batches", "2", "--rounds", "1")


@pytest.mark.parametrize(
    ("what", "sizes", "rows"),
    [
        ("train", ["4"], ["package", "plain, like lengths", "package, bfloat16"]),
        ("predict", ["4", "8"], ["package"]),
        ("evaluate", ["4", "8"], ["package"]),
    ],
)
def test_tables_of_all_batch_sizes(what, sizes, rows, data):
    where = ("--data_dir", data, "--batch_size", *sizes)
    outcome = run("benchmarks.__main__", what, *where, *QUICK)
    assert outcome.code == 0, outcome.err
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in outcome.out.splitlines()]
    for size in sizes:
        of_size = [row for row in cells if row and row[0] == size]
        assert {*rows, "plain"} <= {cell for row in of_size for cell in row}
        # Whoever is compared with itself is as fast as itself.
        assert all(row[-1] == "1.00 / 1.00" for row in of_size if "plain" in row)
    shares = re.findall(r"batch \d+: (\d+) % of the time in the scoring product", outcome.out)
    assert len(shares) == (2 if what == "evaluate" else 0)
    assert all(0 <= int(share) <= 100 for share in shares)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["speed", "--data_dir", "x"], "argument what: invalid choice: 'speed'"),
        (["train"], "--data_dir"),
        (["train", "--data_dir", "x", "--batch_size", "0"], "--batch_size has 0, expected"),
        (["train", "--data_dir", "x", "--rounds", "0"], "--rounds is 0"),
        (["train", "--data_dir", "nowhere"], "nowhere"),
    ],
)
def test_bad_input(flags, said):
    outcome = run("benchmarks.__main__", *flags)
    assert outcome.code in (1, 2)
    assert outcome.err.startswith("error: ") and said in outcome.err
    assert outcome.err.count("\n") == 1
