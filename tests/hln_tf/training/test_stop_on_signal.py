"""Interruption by a signal: its interval, all workers at once, and other threads."""

import os
import signal
import threading

import pytest
from commands import TINY

from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt


@pytest.fixture(autouse=True)
def handlers():
    """Handlers to restore after a signal, whose second arrival stops the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_at_the_next_check(number):
    with StopOnSignal() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        with pytest.raises(TrainingInterrupt) as caught:
            stop.check()
    assert caught.value.number == number and str(caught.value) == number.name


def test_a_signal_interrupts_only_the_context_that_received_it():
    stop = StopOnSignal()
    with stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(TrainingInterrupt):
            stop.check()
    with stop:
        stop.check()


def test_the_handlers_are_restored(handlers):
    with StopOnSignal():
        assert signal.getsignal(signal.SIGTERM) != handlers[signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == handlers[signal.SIGTERM]


def test_only_one_check_of_an_interval_asks_all_workers():
    reduced = []

    def all_reduce_max(number):
        reduced.append(number)
        return number

    with StopOnSignal(all_reduce_max, interval=3) as stop:
        for _ in range(7):
            stop.check()
        assert reduced == [0, 0]
        os.kill(os.getpid(), signal.SIGTERM)
        stop.check()  # the eighth: no reduction, so no interrupt that other workers do not see
        assert reduced == [0, 0]
        with pytest.raises(TrainingInterrupt, match="SIGTERM"):
            stop.check()
    assert reduced == [0, 0, signal.SIGTERM]


def test_a_signal_to_another_worker_interrupts_this_one():
    with StopOnSignal(lambda number: max(number, signal.SIGINT)) as stop:
        with pytest.raises(TrainingInterrupt, match="SIGINT"):
            stop.check()


def in_a_thread(function):
    """Run a function in a thread and return its result, or raise its exception."""
    results = []

    def run():
        try:
            results.append((function(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    ((result, error),) = results
    if error is not None:
        raise error
    return result


def test_in_a_thread_no_handler_is_installed(handlers):
    def work():
        with StopOnSignal() as stop:
            stop.check()
            return {number: signal.getsignal(number) for number in handlers}

    assert in_a_thread(work) == handlers


@pytest.mark.slow
def test_the_command_trains_in_a_thread(data, tmp_path, capsys):
    from hln_tf import train

    where = ["--dataset", "sample", "--data_dir", str(data), "--workdir", str(tmp_path / "run")]
    in_a_thread(lambda: train.main([*where, *TINY, "--epochs", "1", "--batch_size", "64"]))
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()
    assert "mrr@20" in capsys.readouterr().out.lower()
