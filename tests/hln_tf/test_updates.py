"""`Recommender.update`: which clicks it uses, and what it says of them."""

import contextlib
import dataclasses
import io

import pandas as pd
import pytest

from hln_tf import Recommender, SessionDataset
from hln_tf.training.fitting import update_settings

COLUMNS = {"session": "visit", "item": "sku", "time": "at"}
SIZES = {"embedding_dim": 4, "hidden_dim": 4, "num_groups": 1, "batch_size": 16, "epochs": 1}


def table(visits, first=0):
    """Return a frame of visits, lists of items, an hour apart."""
    rows = [
        (first + visit, item, (first + visit) * 3_600 + 10 * click)
        for visit, items in enumerate(visits)
        for click, item in enumerate(items)
    ]
    return pd.DataFrame(rows, columns=["visit", "sku", "at"])


@pytest.fixture(scope="module")
def recommender():
    visits = [list("abcde"), list("fghij"), list("cdefg")] * 8
    return Recommender.fit(table(visits), **COLUMNS, **SIZES, learning_rate=0.02, separator="|")


def updated(recommender, clicks, **settings):
    """Return the updated recommender and what its training printed."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        found = recommender.update(clicks, **COLUMNS, **settings)
    return found, err.getvalue()


# Each known item has one or two clicks; `new` has five, `rare` one.
NEW = [["a", "b"], ["c", "new"], ["d", "new"], ["e", "new"], ["f", "new"], ["g", "new"]]
# The separator is the model's: an id may have a space.
NEW += [["h", "rare one", "i"], ["j", "a"], ["b", "c"], ["rarer", "d"], ["e", "f"], ["g", "h"]]


@pytest.mark.slow
def test_items_that_the_model_knows_are_used_whatever_their_clicks(recommender):
    found, err = updated(recommender, table(NEW, first=100))
    assert found.known == recommender.known | {"new"}
    read = sum(map(len, NEW))
    assert found.metrics["clicks_left"] == {
        "read": read,
        "in sessions of 2 or more clicks": read,
        "of frequent items": read - 2,
        "in sessions of 2 or more clicks after that": read - 3,
    }
    sessions = found.metrics["sessions"]
    assert sum(sessions.values()) == len(NEW) - 1
    assert f"clicks: {read} read, {read} in sessions of 2 or more clicks, {read - 2} of freq" in err
    assert found.separator == "|"
    assert found.run.config().training.learning_rate == pytest.approx(0.002)
    first = recommender.run.vocabulary()
    assert found.run.vocabulary()[: len(first)] == first


def test_known_items_that_only_the_test_part_has_are_tested(recommender):
    later = table([["a", "b"]] * 10, first=100), table([["i", "j"], ["i", "strange"]], first=200)
    clicks = pd.concat(later)
    known = recommender.run.vocabulary()
    data = SessionDataset.from_clicks(clicks, **COLUMNS, known_items=known)
    assert [data.item_ids[item - 1] for item in data.split("test").items] == ["i", "j"]


def test_an_update_learns_at_a_tenth_of_the_rate_and_another_one_at_the_same(recommender):
    config = recommender.run.config()
    assert update_settings(config, {}, True)["learning_rate"] == pytest.approx(0.002)
    update = dataclasses.replace(config, init_from="older")
    assert update_settings(update, {}, True)["learning_rate"] == 0.02
    given = {"learning_rate": 0.01, "min_item_count": 1}
    assert update_settings(config, given, True).items() >= given.items()


@pytest.mark.parametrize("name", ["model", "preset"])
def test_the_model_cannot_change_in_an_update(recommender, name):
    with pytest.raises(TypeError, match=f"'{name}' cannot change in an update, which trains hln"):
        recommender.update(table(NEW), **COLUMNS, **{name: "hln"})


def test_a_fit_records_the_clicks_too(recommender):
    assert recommender.metrics["clicks_left"]["read"] == 120
