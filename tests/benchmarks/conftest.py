"""A small data set, and an exported HLN with its server."""

import pytest
from served import Models, serve, wait_for
from session_lists import to_sessions
from small_hln import make_model
from toy import raw_id, write_dataset

from hln_tf import Recommender

ITEMS = 30


def walks(count, first=0):
    """Sessions of 2 to 6 items, each a walk around the catalogue in steps of 3 or 6."""
    return [
        [(first + 7 * s + 3 * i * (1 + s % 2)) % ITEMS + 1 for i in range(2 + s % 5)]
        for s in range(count)
    ]


@pytest.fixture(scope="session")
def splits():
    return {"train": walks(120), "validation": walks(30, 3), "test": walks(40, 5)}


@pytest.fixture(scope="session")
def data(tmp_path_factory, splits):
    directory = tmp_path_factory.mktemp("data") / "walks"
    write_dataset(directory, splits, ITEMS)
    return directory


@pytest.fixture(scope="session")
def other_model(tmp_path_factory):
    """A model directory whose signatures are not those of an export."""
    base = tmp_path_factory.mktemp("models") / "half_plus_two"
    Models(2.0).save(base / "1")
    return base


@pytest.fixture(scope="session")
def hln(tmp_path_factory):
    """The model directory of an exported HLN."""
    model = make_model(num_items=ITEMS)
    # The first items are the most popular.
    clicks = [[item] * (ITEMS - item + 1) for item in range(1, ITEMS + 1)]
    model.fit_counts(to_sessions(clicks))
    recommender = Recommender(model, [raw_id(item + 1) for item in range(ITEMS)], 50, " ")
    base = tmp_path_factory.mktemp("models") / "hln"
    recommender.export(base, {"model": "hln", "data": {}, "settings": {}, "metrics": {}})
    return base


@pytest.fixture(scope="session")
def server(hln, tmp_path_factory):
    """A server of the exported HLN."""
    server = serve(hln, tmp_path_factory.mktemp("logs") / "hln.log", name="hln")
    try:
        wait_for(server.is_ready, "server")
        yield server
    finally:
        code = server.stop()
    assert code == 0
