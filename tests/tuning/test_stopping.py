"""The median stopping rule."""

import pytest

from hln_tf.common.interrupt import StopOnSignal
from tuning.oracles import create_oracle
from tuning.results import Results
from tuning.tuner import TrialTuner


def run(plan, train):
    oracle = create_oracle(plan)
    TrialTuner(plan, oracle, train, StopOnSignal()).search(verbose=0)
    return Results.from_oracle(oracle)


class Curves:
    """A training with given validation scores of the epochs of each trial."""

    def __init__(self, *curves):
        self.curves = curves
        self.epochs = []

    def __call__(self, config, run, dataset, should_stop):
        history = []
        for score in self.curves[len(self.epochs)]:
            history.append({"mrr@20": score})
            if should_stop(history):
                break
        self.epochs.append(len(history))
        return max(each["mrr@20"] for each in history)


def test_a_trial_below_the_median_of_earlier_ones_at_an_epoch_stops_there(make_plan):
    earlier = [(0.1 * n, 0.2 * n, 0.1) for n in range(1, 6)]
    # Medians of the best of the first five so far: 0.3, 0.6 and 0.6.
    train = Curves(*earlier, (0.4, 0.5, 0.9), (0.4, 0.6, 0.1), (0.2, 0.9, 0.9))
    results = run(make_plan(max_trials=8, median_stopping=True), train)
    assert train.epochs == [3, 3, 3, 3, 3, 2, 3, 1]
    stopped = {each.number: each.stopped for each in results.completed}
    assert stopped == {**dict.fromkeys(range(5), (None,)), 5: (2,), 6: (None,), 7: (1,)}
    assert {each.number: each.score for each in results.completed}[5] == 0.5
    results.write()
    rows = (results.plan.workdir / "trials.csv").read_text().splitlines()
    assert rows[6].startswith("5,stopped,0.5,3,2,") and rows[7].startswith("6,completed,0.6,3,,")
    text = results.describe()
    assert "2*" in text and "* stopped after this epoch by the median stopping rule" in text


def test_no_trial_stops_by_default_or_with_few_earlier_ones(make_plan):
    curves = [(1.0 - n / 10, 0.9 - n / 10) for n in range(8)]
    train = Curves(*curves)
    assert run(make_plan(max_trials=8), train)
    assert train.epochs == [2] * 8
    train = Curves(*curves[:5])
    run(make_plan(max_trials=5, median_stopping=True, workdir=make_plan().workdir / "b"), train)
    assert train.epochs == [2] * 5


def test_a_trial_that_was_stopped_before_a_kill_stops_again_at_the_same_epoch(make_plan):
    class Killed(Curves):
        def __call__(self, *arguments):
            score = super().__call__(*arguments)
            if len(self.epochs) == 6:
                raise KeyboardInterrupt
            return score

    plan = make_plan(max_trials=6, median_stopping=True)
    with pytest.raises(KeyboardInterrupt):
        run(plan, Killed(*[(0.5, 0.6)] * 5, (0.1, 0.9)))
    oracle = create_oracle(plan)
    oracle.requeue("tuner0")
    train = Curves((0.1, 0.9))
    TrialTuner(plan, oracle, train, StopOnSignal()).search(verbose=0)
    assert train.epochs == [1]
    assert Results.from_oracle(oracle).completed[-1].stopped == (1,)
