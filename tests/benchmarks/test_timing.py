from benchmarks.timing import best_and_median, rate, time_interleaved, time_ratio


def test_a_warm_up_round_and_then_interleaved_rounds():
    calls = []
    seconds = time_interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, "x"
    )
    assert calls == ["a", "b"] * 4
    assert {name: len(of_name) for name, of_name in seconds.items()} == {"a": 3, "b": 3}


def test_the_best_and_the_median_are_formatted():
    assert time_ratio([4.0, 8.0, 6.0], [1.0, 2.0, 2.0]) == "4.00 / 3.00"
    assert rate(12, [4.0, 2.0, 3.0]) == "6 / 4"
    assert best_and_median([4000.0, 2000.0, 3000.0], 1) == "2,000.0 / 3,000.0"
