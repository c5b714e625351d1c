"""The figures of a report, rendered without a display.

Parts differ in marker, line and hatching as well as in colour, so that they are
distinct in greyscale; the colours are the colour-blind-safe ones of Okabe and Ito.
"""

import io
from typing import Any

import matplotlib
import numpy as np

from beam_preprocess.description import Description

matplotlib.use("Agg")

_TRAIN, _VALIDATION, _TEST = "#0072B2", "#56B4E9", "#D55E00"
_COLOURS = {"train": _TRAIN, "validation": _VALIDATION, "test": _TEST}
_LINES = {"train": "-", "validation": "--", "test": ":"}
_MARKERS = {"train": "o", "validation": "s", "test": "^"}
_HATCHES = {"train": "", "validation": "///", "test": "..."}
_POINTS = 40  # markers on a line at most
_HEADROOM = 1.3  # height of an axis by that of its data, for the legend
_LOG_SCALE_RATIO = 20  # largest by smallest share from which on an axis is logarithmic


def draw(described: Description) -> bytes:
    """Plot all figures on one page and return it as a PNG."""
    from matplotlib import pyplot

    with pyplot.rc_context({"font.size": 11, "axes.grid": True, "grid.alpha": 0.3}):
        figure, axes = pyplot.subplots(2, 2, figsize=(13, 9), layout="constrained")
        try:
            figure.suptitle(_shortened(described.title), fontsize=15, parse_math=False)
            _draw_lengths(axes[0, 0], described)
            _draw_popularity(axes[0, 1], described)
            _draw_days(axes[1, 0], described)
            _draw_unseen(axes[1, 1], described)
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
            return content.getvalue()
        finally:
            pyplot.close(figure)


def _draw_lengths(axes: Any, described: Description) -> None:
    axes.set_title("Session lengths")
    longest, shares = 2, [1.0]
    for split, colour in _COLOURS.items():
        lengths = described.lengths(split)
        if not len(lengths):
            continue
        values, counts = np.unique(lengths, return_counts=True)
        longest = max(longest, int(values[-1]))
        shares.extend(counts / len(lengths))
        axes.plot(
            values,
            counts / len(lengths),
            color=colour,
            linestyle=_LINES[split],
            marker=_MARKERS[split],
            markersize=4,
            markevery=max(1, len(values) // _POINTS),
            label=split,
        )
    if max(shares[1:], default=1) > _LOG_SCALE_RATIO * min(shares):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0)
    if longest > 50:
        axes.set_xscale("log")
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("clicks of a session")
    axes.set_ylabel("share of the sessions")
    axes.legend()


def _draw_popularity(axes: Any, described: Description) -> None:
    axes.set_title("Item popularity in train and validation")
    clicks = np.sort(described.popularity[described.popularity > 0])[::-1]
    axes.loglog(
        np.arange(1, len(clicks) + 1),
        clicks,
        color=_TRAIN,
        marker="o",
        markersize=3,
        markevery=np.unique(np.geomspace(1, max(len(clicks), 1), _POINTS).astype(int) - 1).tolist(),
    )
    axes.set_xlabel("rank of the item")
    axes.set_ylabel("clicks on the item")


def _draw_days(axes: Any, described: Description) -> None:
    axes.set_title("Clicks per day, by the date of the session (UTC)")
    floor: dict[int, int] = {}
    for split, colour in _COLOURS.items():
        days, clicks = described.days(split)
        if not len(days):
            continue
        low = np.array([floor.get(day, 0) for day in days.tolist()])
        floor.update(zip(days.tolist(), (low + clicks).tolist(), strict=True))
        # One area for a part, so that its hatching can be seen however narrow a day is.
        edges = np.append(days, days[-1] + 1).astype("datetime64[D]")
        axes.fill_between(
            edges,
            np.append(low, low[-1]),
            np.append(low + clicks, low[-1] + clicks[-1]),
            step="post",
            facecolor=colour,
            edgecolor="black",
            hatch=_HATCHES[split],
            linewidth=0.5,
            label=split,
        )
    for split in ("validation", "test"):
        date = described.first_date(split)
        if date is not None:
            axes.axvline(
                np.datetime64(date, "s"),
                ymax=1 / _HEADROOM,
                color="black",
                linestyle=_LINES[split],
                linewidth=1.8,
                label=f"{split} begins",
            )
    _date_ticks(axes)
    axes.set_ylim(0, max(floor.values(), default=1) * _HEADROOM)
    axes.set_xlabel("day")
    axes.set_ylabel("clicks")
    axes.legend(loc="upper left", ncols=3, fontsize=9)


def _date_ticks(axes: Any) -> None:
    from matplotlib import dates

    locator = dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))


def _draw_unseen(axes: Any, described: Description) -> None:
    axes.set_title("Test items and targets seen in train and validation")
    bars = {
        "items": (described.test_items, described.unseen_items),
        "targets": (described.test_targets, described.unseen_targets),
    }
    for bar, (number, unseen) in enumerate(bars.values()):
        share = unseen / max(number, 1)
        first = bar == 0
        axes.barh(
            bar,
            1 - share,
            0.5,
            color=_TRAIN,
            edgecolor="black",
            label="seen" if first else None,
        )
        axes.barh(
            bar,
            share,
            0.5,
            left=1 - share,
            color=_TEST,
            edgecolor="black",
            hatch="///",
            label="never seen" if first else None,
        )
        axes.text(
            0.5,
            bar + 0.29,
            f"{unseen:,} of {number:,} never seen ({share:.1%})",
            ha="center",
            va="bottom",
        )
    axes.set_yticks(range(len(bars)), [f"test {name}" for name in bars])
    axes.set_ylim(-0.5, 2.1)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    axes.set_xlabel("share")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", ncols=2)


def _shortened(title: str) -> str:
    return title if len(title) <= 90 else f"{title[:87]}..."
