"""Built-in specs: raw logs known by name, each with the protocol published for it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from beam_preprocess.formats import LogFormat
from hln_tf.data.sources import CUSTOM, SOURCES

__all__ = ["CUSTOM", "CUSTOM_DEFAULTS", "DATASETS", "LASTFM", "YOOCHOOSE", "Spec"]


@dataclasses.dataclass(frozen=True)
class Spec:
    """The format of a log, and the settings of its protocol that are not the defaults."""

    log: LogFormat
    defaults: Mapping[str, Any]


YOOCHOOSE = LogFormat(
    header=False,
    quotes=False,
    columns=4,
    session="1",
    time="2",
    item=("3",),
    example="11411374,2014-09-24T09:58:32.124Z,214853707,0",
)
LASTFM = LogFormat(
    format="tsv",
    header=False,
    columns=6,
    user="1",
    time="2",
    item=("4", "6"),
    example="user_000001\t2009-05-04T23:08:57Z\tartist id\tartist\ttrack id\ttrack",
)

DATASETS = {
    "sample": Spec(YOOCHOOSE, {}),
    "yoochoose64": Spec(YOOCHOOSE, {"train_fraction": SOURCES["yoochoose64"].train_fraction}),
    "yoochoose4": Spec(YOOCHOOSE, {"train_fraction": SOURCES["yoochoose4"].train_fraction}),
    # A song's name may hold spaces but, in a file separated by tabs, no tab.
    "lastfm": Spec(
        LASTFM,
        {
            "test_seconds": 7 * 86_400,
            "min_item_count": 1,
            "top_items": 40_000,
            "max_session_length": 50,
            "session_timeout": 28_800,
            "collapse_repeats": True,
            "order": "time",
            "window_months": 3,
            "separator": "\t",
        },
    ),
}
CUSTOM_DEFAULTS = {"order": "time"}
