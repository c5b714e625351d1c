"""The data sets that are known by name, and the sources of their raw logs."""

import dataclasses
import functools


@dataclasses.dataclass(frozen=True)
class Source:
    """The raw log of a data set: it is downloaded or generated.

    Attributes:
      file: Its name in the directory of raw files; `.gz` may follow.
      download: Its name for `python -m beam_preprocess.download`.
      generator: The module and its arguments that write it into the directory
        `{}`.
      train_fraction: The fraction of train that the data set's name implies.
    """

    file: str
    download: str = ""
    generator: tuple[str, ...] = ()
    train_fraction: str = "1"


_YOOCHOOSE = functools.partial(Source, "yoochoose-clicks.dat", "yoochoose")
SOURCES = {
    "sample": Source(
        "sample-clicks.dat",
        generator=("beam_preprocess.sample", "generate", "--output", "{}"),
    ),
    "yoochoose64": _YOOCHOOSE(train_fraction="1/64"),
    "yoochoose4": _YOOCHOOSE(train_fraction="1/4"),
    "lastfm": Source("userid-timestamp-artid-artname-traid-traname.tsv", "lastfm"),
    "diginetica": Source("train-item-views.csv", "diginetica"),
    "retailrocket": Source("events.csv", "retailrocket"),
}


CUSTOM = "custom"
