"""Comparison of runs by their ranked examples: intervals, tests, slices and sessions."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hln_tf.analysis.comparison import group_by_settings, markdown
from hln_tf.analysis.paired import (
    Difference,
    compare_sums,
    corrected,
    intervals_of_means,
    sums_by_session,
)
from hln_tf.analysis.ranked_examples import KEYS
from hln_tf.analysis.slices import Slice, slices
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import checked, documented, setting
from hln_tf.data.sessions import Sessions
from hln_tf.metrics.of_ranks import values_of_ranks


@documented
@dataclasses.dataclass(frozen=True)
class ComparisonSettings:
    """Settings of a comparison."""

    metrics: tuple[str, ...] = setting(
        ("recall@20", "mrr@20"), "recall, mrr, ndcg or precision, each with a cut-off"
    )
    resamples: int = setting(
        10_000, "bootstrap resamples, and random swaps of the test", minimum=100, maximum=1_000_000
    )
    level: float = setting(0.95, "probability of the intervals", above=0.5, below=1.0)
    seed: int = setting(1, "seed of the resamples", minimum=0)
    slices: bool = setting(False, "also compare slices of the examples")
    slice_by: tuple[str, ...] = setting(
        (),
        "as slices, and also by these extra columns of the data set",
    )
    sessions: int = setting(
        0, "examples to show on which each of two models is ahead", minimum=0, maximum=1000
    )

    def __post_init__(self) -> None:
        checked(self)
        for name in self.metrics:
            try:
                values_of_ranks(name, np.array([1]))
            except ValueError as error:
                raise UsageError(f"`metrics`: {error}") from None


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """Runs that differ in the seed alone, which count as one.

    Attributes:
      name: Its model, and the settings that the others do not share.
      ranks: int32 [runs, examples].
    """

    name: str
    ranks: npt.NDArray[np.int32]

    def values(self, metric: str) -> npt.NDArray[np.float64]:
        """Compute a metric of each example, float64 [runs, examples]."""
        return values_of_ranks(metric, self.ranks)


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      first: Name of the model that is compared with.
      second: Name of the model that is compared.
      metric: Such as `mrr@20`.
      difference: Second minus first.
      by: Property by which examples are divided; empty for all examples.
      label: Its value.
      examples: Number of examples.
    """

    first: str
    second: str
    metric: str
    difference: Difference
    by: str
    label: str
    examples: int


def systems_of(runs: Sequence[Path], tables: Mapping[Path, pa.Table]) -> list[System]:
    """Group runs into systems, after a check that they ranked the same examples.

    Args:
      runs: The runs, in order.
      tables: The ranked examples of each, see `hln_tf.analysis.ranked_examples`.

    Raises:
      HlnError: Two runs ranked different examples.
      UsageError: All runs differ in the seed alone.
    """
    first = tables[runs[0]]
    for run in runs[1:]:
        if tables[run].select(KEYS) != first.select(KEYS):
            raise HlnError(
                f"{run} ranked other examples than {runs[0]}: compare runs on the same data set "
                f"with the same max_length, or name it with --data_dir"
            )
    groups = group_by_settings(runs)
    if len(groups) < 2:
        raise UsageError("the runs differ in the seed alone: name runs of two or more settings")
    shared = [len(set(column)) == 1 for column in zip(*groups, strict=True)]
    systems = []
    for description, group in groups.items():
        own = [text for text, same in zip(description, shared, strict=True) if text and not same]
        ranks = np.array([np.asarray(tables[run]["rank"]) for run in group])
        systems.append(System(", ".join(own), ranks))
    return systems


def compare_systems(
    systems: Sequence[System], examples: pa.Table, settings: ComparisonSettings
) -> list[Row]:
    """Compare every system with the first one.

    The p-values are corrected for all metrics and systems of one division: of all
    examples, and of each property's slices.

    Args:
      systems: Two or more.
      examples: The examples that their ranks belong to.
      settings: See `ComparisonSettings`.
    """
    rng = np.random.default_rng(settings.seed)
    everything = Slice("", "", np.ones(len(examples), bool))
    divisions = {"": [everything]}
    has_slices = settings.slices or settings.slice_by
    for each in slices(examples, settings.slice_by) if has_slices else ():
        divisions.setdefault(each.by, []).append(each)
    session = np.asarray(examples["session"])
    rows = []
    for chosen in divisions.values():
        rows += _compare_slices(systems, session, chosen, settings, rng)
    return rows


def _compare_slices(
    systems: Sequence[System],
    session: npt.NDArray[np.int64],
    chosen: Sequence[Slice],
    settings: ComparisonSettings,
    rng: np.random.Generator,
) -> list[Row]:
    found: list[Row] = []
    for part in chosen:
        distinct, numbers = np.unique(session[part.chosen], return_inverse=True)
        counts = np.bincount(numbers, minlength=len(distinct))
        sums = {
            (system.name, metric): sums_by_session(system.values(metric)[:, part.chosen], numbers)
            for system in systems
            for metric in settings.metrics
        }
        names = [(other.name, metric) for other in systems[1:] for metric in settings.metrics]
        pairs = [(sums[systems[0].name, metric], sums[name, metric]) for name, metric in names]
        differences = compare_sums(pairs, counts, settings.resamples, settings.level, rng)
        found += [
            Row(systems[0].name, name, metric, each, part.by, part.label, int(counts.sum()))
            for (name, metric), each in zip(names, differences, strict=True)
        ]
    return [
        dataclasses.replace(row, difference=difference)
        for row, difference in zip(found, corrected([row.difference for row in found]), strict=True)
    ]


def mean_intervals(
    system: System, examples: pa.Table, settings: ComparisonSettings
) -> list[tuple[float, float]]:
    """Compute the ends of the bootstrap interval of each metric of `settings`.

    Args:
      system: The system.
      examples: The examples that its ranks belong to.
      settings: See `ComparisonSettings`.
    """
    session = np.unique(np.asarray(examples["session"]), return_inverse=True)[1]
    sums = [sums_by_session(system.values(metric), session) for metric in settings.metrics]
    rng = np.random.default_rng(settings.seed)
    ends = intervals_of_means(sums, np.bincount(session), settings.resamples, settings.level, rng)
    return [(float(low), float(high)) for low, high in zip(*ends, strict=True)]


def comparison_rows(rows: Sequence[Row], level: float) -> list[list[str]]:
    """Make the rows of a table of comparisons, in points; the first row is the header."""
    titles = ["model", "compared with", "metric", "slice by", "value"]
    texts = [[row.second, row.first, row.metric, row.by, row.label] for row in rows]
    figures = [
        [
            f"{row.examples:,}",
            f"{100 * row.difference.value:+.2f}",
            f"{100 * row.difference.low:+.2f} to {100 * row.difference.high:+.2f}",
            f"{row.difference.p_value:.4f}",
            f"{row.difference.adjusted:.4f}",
            "yes" if row.difference.differs else "no",
        ]
        for row in rows
    ]
    header = ["examples", "points", f"{100 * level:g} % interval", "p", "corrected", "differs"]
    table = [[*titles, *header], *([*t, *f] for t, f in zip(texts, figures, strict=True))]
    if any(row.by for row in rows):
        return table
    return [[*line[:3], *line[5:]] for line in table]


def comparison_markdown(rows: Sequence[Row], level: float) -> str:
    """Make the Markdown table of `comparison_rows`."""
    table = comparison_rows(rows, level)
    return markdown(table, texts=len(table[0]) - 6)


def means_markdown(systems: Sequence[System], metrics: Sequence[str]) -> str:
    """Make a Markdown table of the systems' metrics in percent, means over their runs."""
    rows = [
        [
            system.name,
            str(len(system.ranks)),
            *(f"{100 * system.values(metric).mean():.2f}" for metric in metrics),
        ]
        for system in systems
    ]
    return markdown([["model", "runs", *metrics], *rows], texts=1)


def largest_differences(
    systems: Sequence[System],
    examples: pa.Table,
    sessions: Sessions,
    ids: Sequence[str],
    count: int,
) -> str:
    """List the examples on which systems differ most in the reciprocal rank, as Markdown.

    Args:
      systems: Every one is compared with the first, by its best rank over runs.
      examples: The examples that their ranks belong to.
      sessions: The sessions that they are examples of.
      ids: Item ids in order of their indices.
      count: Examples for each model that is ahead.
    """
    first, rows = systems[0], []
    best = {system.name: system.ranks.min(axis=0) for system in systems}
    for other in systems[1:]:
        by_place = 1 / best[other.name] - 1 / best[first.name]
        for ahead, order in ((other, np.argsort(-by_place)), (first, np.argsort(by_place))):
            for place in order[:count]:
                if (by_place[place] > 0) != (ahead is other) or not by_place[place]:
                    continue
                session, position = (examples[name][int(place)].as_py() for name in KEYS[:2])
                start = sessions.offsets[session]
                clicks = [ids[item - 1] for item in sessions.items[start : start + position]]
                ranks = [str(best[system.name][place]) for system in (first, other)]
                target = str(examples["target"][int(place)])
                rows.append([first.name, other.name, ahead.name, " ".join(clicks), target, *ranks])
    titles = ["first", "second", "ahead", "clicks", "target", "rank of first", "rank of second"]
    return markdown([titles, *rows], texts=5)
