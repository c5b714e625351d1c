"""Values that a thread computes ahead of their use."""

import itertools
import threading

import pytest

from hln_tf.data.prefetching import prefetched


def test_values_are_in_order_and_made_by_one_other_thread():
    threads = []

    def values():
        for number in range(20):
            threads.append(threading.get_ident())
            yield number

    with prefetched(values()) as ahead:
        assert list(ahead) == list(range(20))
    assert len({*threads}) == 1 and threads[0] != threading.get_ident()


@pytest.mark.parametrize("values", [[], [None], [0, None, False]])
def test_any_value_may_be_one(values):
    with prefetched(iter(values)) as ahead:
        assert list(ahead) == values


def test_no_more_are_made_than_wait():
    made, third = [], threading.Event()

    def values():
        for number in itertools.count():
            made.append(number)
            if number == 3:
                third.set()
            yield number

    with prefetched(values(), ahead=3) as ahead:
        assert next(ahead) == 0
        assert third.wait(60)  # the three after the first
    assert made == [0, 1, 2, 3]


def test_an_error_comes_after_the_values_before_it():
    def values():
        yield 1
        raise ValueError("no second one")

    with pytest.raises(ValueError, match="no second one"), prefetched(values()) as ahead:
        assert next(ahead) == 1
        next(ahead)


def test_no_thread_is_left_after_an_interruption():
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), prefetched(itertools.count()) as ahead:
        next(ahead)
        raise KeyboardInterrupt
    assert threading.active_count() == before
