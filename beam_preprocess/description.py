"""The numbers of a report on a prepared data set."""

import dataclasses
import datetime

import numpy as np

from hln_tf.common.files import Location, as_location, read_json
from hln_tf.data import stores
from hln_tf.data.layout import SPLITS, STATS, Manifest, read_vocabulary
from hln_tf.data.sessions import Sessions, count_unseen, read_split

DAY = 86_400
_TOP = 10  # items that the table of popularity names
_QUANTILES = {"median": 0.5, "90 %": 0.9, "99 %": 0.99}
_SHOWN = 40  # characters of an item id in a table


@dataclasses.dataclass(frozen=True)
class Description:
    """The numbers of a report.

    Attributes:
      title: The data set's name, fraction and raw files.
      splits: The sessions of each part.
      vocabulary: The item id of each item.
      popularity: Clicks of each item in train and validation, int64 [items].
      test_items: Number of items that occur in test.
      unseen_items: How many of these train and validation never have.
      test_targets: Number of test examples.
      unseen_targets: Those whose target train and validation never have.
      unseen_targets_of_train: Those whose target train alone never has.
      filters: Clicks that each filter left.
    """

    title: str
    splits: dict[str, Sessions]
    vocabulary: list[str]
    popularity: np.ndarray
    test_items: int
    unseen_items: int
    test_targets: int
    unseen_targets: int
    unseen_targets_of_train: int
    filters: dict[str, int]

    def lengths(self, split: str) -> np.ndarray:
        """Count the clicks of each session of a part, int64 [sessions]."""
        return np.diff(self.splits[split].offsets)

    def days(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Count the clicks of a part per day.

        Returns:
          Days since 1970, and the clicks of the sessions dated on each, both int64 [days].
        """
        sessions = self.splits[split]
        days = sessions.dates // DAY
        if not len(days):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        span = np.arange(days.min(), days.max() + 1)
        return span, np.bincount(days - days.min(), np.diff(sessions.offsets)).astype(np.int64)

    def first_date(self, split: str) -> int | None:
        """Return the date of a part's first session, or `None`."""
        dates = self.splits[split].dates
        return int(dates[0]) if len(dates) else None

    def tables(self) -> dict[str, list[list[str]]]:
        """Return the tables by title; the first row of each is its heading."""
        return {
            "Parts": self._parts(),
            "Clicks that the filters left": [
                ["clicks", "number"],
                *([name, f"{count:,}"] for name, count in self.filters.items()),
            ],
            "Session lengths in clicks": self._lengths(),
            "Most popular items in train and validation": self._popular(),
            "Test part": [
                ["", "number", "never seen in train and validation", "share"],
                _shares("items", self.test_items, self.unseen_items),
                _shares("targets", self.test_targets, self.unseen_targets),
                _shares("targets, by train alone", self.test_targets, self.unseen_targets_of_train),
            ],
        }

    def _parts(self) -> list[list[str]]:
        rows = [["part", "sessions", "clicks", "examples", "items", "from (UTC)", "to (UTC)"]]
        for split, sessions in self.splits.items():
            counts = (
                len(sessions),
                len(sessions.items),
                sessions.prefixes,
                len(np.unique(sessions.items)),
            )
            dates = sessions.dates[:1].tolist() + sessions.dates[-1:].tolist()
            bounds = [f"{_utc(date):%Y-%m-%d %H:%M}" for date in dates] or ["", ""]
            rows.append([split, *(f"{count:,}" for count in counts), *bounds])
        return rows

    def _lengths(self) -> list[list[str]]:
        rows = [["part", "shortest", "mean", *_QUANTILES, "longest"]]
        for split in self.splits:
            lengths = self.lengths(split)
            if len(lengths):
                quantiles = np.quantile(lengths, list(_QUANTILES.values()), method="lower")
                numbers = [f"{number:,}" for number in [*quantiles, lengths.max()]]
                rows.append([split, f"{lengths.min():,}", f"{lengths.mean():.2f}", *numbers])
        return rows

    def _popular(self) -> list[list[str]]:
        rows = [["item", "clicks", "share"]]
        total = max(int(self.popularity.sum()), 1)
        for index in np.argsort(-self.popularity, kind="stable")[:_TOP]:
            clicks = int(self.popularity[index])
            name = self.vocabulary[index]
            name = name if len(name) <= _SHOWN else f"{name[: _SHOWN - 3]}..."
            rows.append([name, f"{clicks:,}", f"{clicks / total:.2%}"])
        return rows


def describe(directory: Location) -> Description:
    """Read a data set and compute the numbers of its report.

    Raises:
      HlnError: There is no valid data set in `directory`.
    """
    manifest = Manifest.read(directory)
    copy = stores.local_copy(as_location(directory), [STATS])
    stats = read_json(copy / STATS, "write the data set again")
    splits = {split: read_split(directory, split) for split in SPLITS}
    popularity = sum(
        np.bincount(splits[split].items, minlength=manifest.items + 1)
        for split in ("train", "validation")
    )
    assert isinstance(popularity, np.ndarray)
    targets = read_split(directory, "test", unknown=True).targets
    test_items = np.unique(splits["test"].items)
    fraction = manifest.settings.get("train_fraction", "1")
    return Description(
        title=_title(manifest, fraction),
        splits=splits,
        vocabulary=read_vocabulary(directory, manifest),
        popularity=popularity[1:],
        test_items=len(test_items),
        unseen_items=int(np.count_nonzero(popularity[test_items] == 0)),
        test_targets=len(targets),
        unseen_targets=int(np.count_nonzero(popularity[targets] == 0)),
        unseen_targets_of_train=count_unseen(targets, [splits["train"]]),
        filters=stats.get("clicks_left", {}),
    )


def _title(manifest: Manifest, fraction: str) -> str:
    files = [str(file["name"]) for file in manifest.inputs]
    source = ", ".join(files[:2]) + (f" and {len(files) - 2} more" if len(files) > 2 else "")
    part = "" if fraction == "1" else f", {fraction} of train"
    return f"{manifest.dataset}{f' ({source})' if source else ''}{part}"


def _shares(name: str, number: int, unseen: int) -> list[str]:
    return [name, f"{number:,}", f"{unseen:,}", f"{unseen / max(number, 1):.2%}"]


def _utc(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
