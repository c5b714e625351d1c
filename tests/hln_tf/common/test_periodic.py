import threading

import pytest

from hln_tf.common.periodic import periodic


def test_work_repeats_while_the_block_runs_and_ends_with_it():
    calls, third = [], threading.Event()

    def work():
        calls.append(threading.current_thread())
        if len(calls) == 3:
            third.set()

    with pytest.raises(KeyError), periodic(work, 0.001):
        assert third.wait(60)
        raise KeyError
    assert not any(thread.is_alive() for thread in calls)


def test_work_does_not_begin_before_the_first_pause():
    calls = []
    with periodic(lambda: calls.append(1), 1e6):
        pass
    assert not calls
