"""The settings of the models that count instead of training. Imports no TensorFlow."""

import dataclasses

from hln_tf.common.settings import Range, checked, documented, redeclared, setting
from hln_tf.layers.choices import WEIGHTINGS


@documented
@dataclasses.dataclass(frozen=True)
class PopularitySettings:
    """The settings of popularity, of which there are none."""


@documented
@dataclasses.dataclass(frozen=True)
class AssociationRulesSettings:
    """The settings of association rules, of which there are none."""


@documented
@dataclasses.dataclass(frozen=True)
class SequentialRulesSettings:
    """Rules from a click to the later clicks of its session."""

    window: int = setting(
        10, "clicks after a click that it has rules to", minimum=1, search=Range(1, 20)
    )
    weighting: str = setting(
        "div",
        "weight of a pair at the distance of i clicks: same 1, linear 1 - i / 10, div 1 / i, "
        "log 1 / log10(i + 1.7), quadratic 1 / i ** 2",
        choices=WEIGHTINGS,
        search=WEIGHTINGS,
    )

    def __post_init__(self) -> None:
        checked(self)


@documented
@dataclasses.dataclass(frozen=True)
class MarkovSettings(SequentialRulesSettings):
    """A Markov chain; the defaults are those of one of first order."""

    window: int = setting(
        1, "clicks after a click that count as its followers", minimum=1, search=Range(1, 20)
    )
    last_clicks: int = setting(
        1, "last clicks of a session whose followers count", minimum=1, search=Range(1, 10)
    )
    repeat_prior: float = setting(
        0.0,
        "weight of the share of clicks that return to an item of the session",
        minimum=0.0,
        search=Range(0.0, 1.0),
    )


@documented
@dataclasses.dataclass(frozen=True)
class SPopSettings:
    """The session's own popularity, then that of the log."""

    top_items: int = setting(
        100,
        "most popular items recommended in addition to the session's own",
        minimum=0,
        search=Range(10, 1000, log=True),
    )

    def __post_init__(self) -> None:
        checked(self)


@documented
@dataclasses.dataclass(frozen=True)
class SKNNSettings:
    """Nearest neighbours among the train sessions."""

    sample_size: int = setting(
        1000,
        "most recent sessions that share an item with the session",
        minimum=1,
        search=Range(100, 5000, log=True),
    )
    neighbors: int = setting(
        500, "nearest of them that count, k", minimum=1, search=Range(20, 1000, log=True)
    )

    def __post_init__(self) -> None:
        checked(self)


@documented
@dataclasses.dataclass(frozen=True)
class VSKNNSettings(SKNNSettings):
    """Nearest neighbours by weighted clicks."""

    neighbors: int = redeclared(SKNNSettings, "neighbors", 100, search=Range(20, 2000, log=True))
    weighting: str = setting(
        "div",
        "weight of an item with a of n clicks after it: same 1, linear 1 - a / 10, div 1 - a / n, "
        "log 1 / log10(a + 1.7), quadratic (1 - a / n) ** 2",
        choices=WEIGHTINGS,
        search=WEIGHTINGS,
    )
    score_weighting: str = setting(
        "div",
        "weight of a neighbour that shares the i-th last click: same 1, linear 1 - i / 10, div "
        "1 / i, log 1 / log10(i + 1.7), quadratic 1 / i ** 2",
        choices=WEIGHTINGS,
        search=WEIGHTINGS,
    )
    idf_weight: float = setting(
        0.0, "weight of the idf of the items that are scored", minimum=0.0, search=Range(0.0, 10.0)
    )


@documented
@dataclasses.dataclass(frozen=True)
class STANSettings(SKNNSettings):
    """Nearest neighbours by the order of clicks and the age of sessions."""

    sample_size: int = redeclared(
        SKNNSettings, "sample_size", 5000, search=Range(500, 10_000, log=True)
    )
    click_decay: float = setting(
        1.02,
        "clicks after an item by which its weight falls to 1 / e",
        minimum=0.01,
        search=Range(0.2, 10.0, log=True),
    )
    session_decay: float = setting(
        5.0,
        "days by which a train session's weight falls to 1 / e",
        minimum=0.001,
        search=Range(1.0, 100.0, log=True),
    )
    item_decay: float = setting(
        2.05,
        "clicks from a neighbour's last shared item by which an item's weight falls to 1 / e",
        minimum=0.01,
        search=Range(0.2, 10.0, log=True),
    )
