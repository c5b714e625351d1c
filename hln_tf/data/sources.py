"""The data sets that are known by name, and the sources of their raw logs."""

import dataclasses
import functools


@dataclasses.dataclass(frozen=True)
class Source:
    """The raw log of a data set.

    Attributes:
      file: Its name in the directory of raw files; `.gz` may follow.
      origin: How to get it, as the end of a sentence.
      train_fraction: The fraction of train that the data set's name implies.
      generator: The module and its arguments that write it into the directory
        `{}`; empty for a log that is downloaded.
    """

    file: str
    origin: str
    train_fraction: str = "1"
    generator: tuple[str, ...] = ()


_YOOCHOOSE = functools.partial(
    Source,
    "yoochoose-clicks.dat",
    "download the RecSys Challenge 2015 data (https://2015.recsyschallenge.com/challenge.html)",
)
SOURCES = {
    "sample": Source(
        "sample-clicks.dat",
        "write it with python -m beam_preprocess.sample generate",
        generator=("beam_preprocess.sample", "generate", "--output", "{}"),
    ),
    "yoochoose64": _YOOCHOOSE(train_fraction="1/64"),
    "yoochoose4": _YOOCHOOSE(train_fraction="1/4"),
    "lastfm": Source(
        "userid-timestamp-artid-artname-traid-traname.tsv",
        "download LastFM-1K (http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html)",
    ),
}


CUSTOM = "custom"
