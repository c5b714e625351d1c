"""Tables that `Recommender.fit` takes and refuses."""

import numpy as np
import pandas as pd
import pytest
from visits import COLUMNS, DAY, fit_columns, table, walks

from hln_tf import Recommender, SessionDataset
from hln_tf.common.errors import HlnError, UsageError


@pytest.fixture(scope="module")
def clicks():
    return table(walks(90))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"embeding_dim": 8}, TypeError, ("embeding_dim", "embedding_dim", "epochs", "min_item_")),
        ({"model": "hnl"}, UsageError, ("`model` is 'hnl'", "narm", "sknn")),
        ({"preset": "best"}, UsageError, ("`preset` is 'best'", "paper", "demo")),
        ({"epochs": 0}, UsageError, ("`epochs` is 0", "at least 1")),
        ({"learning_rate": "fast"}, UsageError, ("`learning_rate` is 'fast'", "float")),
        ({"loss": "hinge"}, UsageError, ("`loss` is 'hinge'", "softmax")),
        ({"refit": 2}, UsageError, ("`refit` is 2", "bool")),
        ({"min_item_count": 0}, UsageError, ("`min_item_count` is 0",)),
        ({"test_seconds": -1}, UsageError, ("`test_seconds` is -1",)),
        ({"test_seconds": 100 * DAY}, HlnError, ("train part is empty", "`test_seconds`")),
        ({"validation_fraction": "0"}, HlnError, ("validation part", "`validation_fraction`")),
        ({"min_item_count": 9_999}, HlnError, ("0 of frequent items", "`min_item_count`")),
        ({"item": "article"}, UsageError, ("'article'", "visit", "sku", "at")),
        ({"session": None}, UsageError, ("session and user are neither given",)),
        ({"session": None, "user": "visit"}, UsageError, ("`session_timeout` is 0", "as 1800")),
        ({"session_timeout": "30min"}, UsageError, ("`session_timeout` is '30min'", "as 1800")),
        ({"session_timeout": 0.5}, UsageError, ("`session_timeout` is 0.5", "whole seconds")),
        ({"session_timeout": True}, UsageError, ("`session_timeout` is True", "whole seconds")),
        ({"item": None}, TypeError, ("item=..., time=...",)),
        ({"time": None}, TypeError, ("item=..., time=...", "user=...")),
    ],
)
def test_what_cannot_be_fitted_is_named(clicks, settings, error, words):
    with pytest.raises(error) as caught:
        Recommender.fit(clicks, **{**COLUMNS, **settings})
    message = str(caught.value)
    assert "--" not in message and "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("wrong", [[["a", "b"], ["c"]], {"visit": [1], "sku": ["a"]}, None])
def test_what_is_no_table_is_refused(wrong):
    with pytest.raises(TypeError, match=r"expected a table with a row .*, not sessions, and its c"):
        Recommender.fit(wrong)
    with pytest.raises(UsageError, match="expected a pandas or Polars DataFrame or a pyarrow Tab"):
        Recommender.fit(wrong, **COLUMNS)


@pytest.mark.parametrize(
    "timeout", [1_800, 1_800.0, pd.Timedelta("30min"), np.timedelta64(30, "m")], ids=repr
)
def test_a_session_timeout_is_in_seconds_or_a_time_difference(clicks, timeout):
    named = clicks.rename(columns={"visit": "visitor"}).assign(visitor="u")
    columns = {"user": "visitor", "item": "sku", "time": "at"}
    data = SessionDataset.from_clicks(named, **columns, session_timeout=timeout, test_seconds=0)
    expected = SessionDataset.from_clicks(clicks, **COLUMNS, test_seconds=0)
    for part in ("train", "validation"):
        np.testing.assert_array_equal(data.split(part).items, expected.split(part).items)


def test_several_columns_make_an_item(clicks):
    named = clicks.assign(shop=7)
    columns = {**COLUMNS, "item": ["shop", "sku"]}
    counted, _ = fit_columns(named, columns, model="popularity")
    assert counted.known == {f"7/{item}" for item in "abcdefghij"}
    assert counted.evaluate(named, **columns)["unknown_clicks"] == 0


def test_a_data_set_has_its_own_columns_and_protocol(clicks):
    data = SessionDataset.from_clicks(clicks, **COLUMNS)
    recommender = Recommender.fit(data, model="popularity")
    assert {"validation", "test"} <= recommender.metrics.keys()
    with pytest.raises(TypeError, match="leave out item, time, session"):
        Recommender.fit(data, **COLUMNS)
    with pytest.raises(TypeError, match="no setting 'min_item_count'"):
        Recommender.fit(data, min_item_count=3)
