"""Ordinary use of one model after another prints no warning of TensorFlow's."""

import logging

import pandas as pd
import pytest
import tensorflow as tf

from hln_tf import HLN, Recommender

VISITS = [list("abcab"), list("bcabc"), list("cabca")] * 4
COLUMNS = {"session": "visit", "item": "sku", "time": "at"}
SIZES = {"embedding_dim": 4, "epochs": 1, "batch_size": 32}


@pytest.mark.slow
def test_models_in_a_row_warn_of_no_retracing(caplog):
    rows = [
        (visit, item, 60 * visit + at)
        for visit, items in enumerate(VISITS)
        for at, item in enumerate(items)
    ]
    clicks = pd.DataFrame(rows, columns=["visit", "sku", "at"])
    tf.get_logger().addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING, logger="tensorflow"):
            for seed in range(6):
                recommender = Recommender.fit(
                    clicks, **COLUMNS, **SIZES, model="stamp", seed=seed, refit=False
                )
                recommender.recommend([["a", "b"]])
                recommender.recommend([["a", "b"]], deny=["a"])
                recommender.embed([["a", "b"]])
                recommender.evaluate([["a", "b"]])
            for _ in range(6):
                recommender.evaluate([["a", "b"]])
                model = HLN(3, embedding_dim=4, hidden_dim=4, num_groups=2)
                Recommender(model, ["a", "b", "c"], 50, " ").explain([["a", "b"]])
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert not [record.message for record in caplog.records if "retracing" in record.message]
