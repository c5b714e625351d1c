"""Built-in specs: raw logs known by name, each with the protocol published for it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from beam_preprocess.formats import LogFormat
from hln_tf.data.protocol_settings import PROTOCOLS
from hln_tf.data.sources import CUSTOM

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
    missing=(),
    example="11411374,2014-09-24T09:58:32.124Z,214853707,0",
)
LASTFM = LogFormat(
    format="tsv",
    header=False,
    columns=6,
    user="1",
    time="2",
    item=("4", "6"),
    missing=(),  # a song may be called None
    example="user_000001\t2009-05-04T23:08:57Z\tartist id\tartist\ttrack id\ttrack",
)
# A view's date is a day; its timeframe, milliseconds since the session's first query, may be longer
# than a day, so that they do not add up to a time.
DIGINETICA = LogFormat(
    delimiter=";",
    quotes=False,
    session="sessionId",
    time="eventdate",
    rank="timeframe",
    item=("itemId",),
    example="1;NA;81766;526309;2016-05-09",
)
RETAILROCKET = LogFormat(
    quotes=False,
    user="visitorid",
    time="timestamp",
    time_format="milliseconds",
    item=("itemid",),
    where=("event == view",),
    example="1433221332117,257597,view,355908,",
)

DATASETS = {
    "sample": Spec(YOOCHOOSE, PROTOCOLS["sample"].changes()),
    "yoochoose64": Spec(YOOCHOOSE, PROTOCOLS["yoochoose64"].changes()),
    "yoochoose4": Spec(YOOCHOOSE, PROTOCOLS["yoochoose4"].changes()),
    # A song's name may hold spaces but, in a file separated by tabs, no tab.
    "lastfm": Spec(LASTFM, {**PROTOCOLS["lastfm"].changes(), "separator": "\t"}),
    "diginetica": Spec(DIGINETICA, PROTOCOLS["diginetica"].changes()),
    "retailrocket": Spec(RETAILROCKET, PROTOCOLS["retailrocket"].changes()),
}
CUSTOM_DEFAULTS = PROTOCOLS[CUSTOM].changes()
