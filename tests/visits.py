"""Small tables of visits, and recommenders that are fitted on them."""

import contextlib
import io

import numpy as np
import pandas as pd

from hln_tf import Recommender

COLUMNS = {"session": "visit", "item": "sku", "time": "at"}
SIZES = {"embedding_dim": 8, "hidden_dim": 8, "num_groups": 2}
FAST = {**SIZES, "epochs": 2, "batch_size": 8, "learning_rate": 0.02}
HOUR, DAY = 3_600, 86_400


def table(visits, first=0, apart=HOUR):
    """Return a frame of visits, lists of items, so many seconds apart."""
    rows = [
        (f"v{first + visit}", item, (first + visit) * apart + 10 * click)
        for visit, items in enumerate(visits)
        for click, item in enumerate(items)
    ]
    return pd.DataFrame(rows, columns=["visit", "sku", "at"])


def walks(count, items="abcdefghij", seed=0):
    """Return visits that go around the items, mostly in steps of one."""
    random = np.random.default_rng(seed)
    return [
        [
            items[at % len(items)]
            for at in random.integers(len(items))
            + random.choice([1, 1, 1, 2], random.integers(2, 6)).cumsum()
        ]
        for _ in range(count)
    ]


def fit_columns(clicks, columns, **settings):
    """Return a recommender and what its training printed on standard error."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        recommender = Recommender.fit(clicks, **columns, **settings)
    return recommender, err.getvalue()


def fit(clicks, **settings):
    return fit_columns(clicks, COLUMNS, **settings)
