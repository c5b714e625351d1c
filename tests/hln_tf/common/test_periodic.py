import threading

import pytest

from hln_tf.common.periodic import periodic


def test_calls_repeat_while_the_block_runs_and_end_with_it():
    calls, third = [], threading.Event()

    def work():
        calls.append(threading.current_thread())
        if len(calls) == 3:
            third.set()

    with pytest.raises(KeyError), periodic(work, 0.001):
        assert third.wait(60)
        raise KeyError
    assert not any(thread.is_alive() for thread in calls)


def test_the_first_call_is_after_an_interval():
    calls = []
    with periodic(lambda: calls.append(1), 1e6):
        pass
    assert not calls
