"""The models' settings. Imports no TensorFlow."""

import dataclasses

from hln_tf.common.errors import SettingError
from hln_tf.common.settings import Range, checked, documented, setting
from hln_tf.layers.choices import (
    AGGREGATIONS,
    GATES,
    INFERENCE_GATES,
    LEAP_GATES,
    WEIGHTINGS,
)


@documented
@dataclasses.dataclass(frozen=True)
class EncoderSettings:
    """Settings of all trained models: the item embeddings and how queries are scored with them."""

    embedding_dim: int = setting(100, "size d of the item embeddings", minimum=1, maximum=1_000_000)
    normalize: bool = setting(
        False, "score by cosine times a learnt scale: item embeddings and queries have length 1"
    )
    scale: float = setting(
        16.0, "initial value of the learnt scale, with normalize", above=0.0, weights=False
    )
    dropout: float = setting(
        0.0,
        "fraction of a session's item embeddings zeroed in training",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.5),
        weights=False,
    )

    def __post_init__(self) -> None:
        checked(self)


@documented
@dataclasses.dataclass(frozen=True)
class HLNSettings(EncoderSettings):
    """Hierarchical Leaping Networks; the defaults are the paper's where it gives a value."""

    hidden_dim: int = setting(200, "size n of a preference", minimum=1, maximum=1_000_000)
    num_groups: int = setting(
        3, "number L of preference groups", minimum=1, search=Range(1, 4), weights=False
    )
    aggregation: str = setting(
        "sum",
        "how the preference manager aggregates",
        choices=AGGREGATIONS,
        search=AGGREGATIONS,
    )
    temperature: float = setting(
        1.0,
        "temperature of the relaxed leap gate",
        minimum=0.01,
        maximum=100.0,
        search=Range(0.2, 2.0, log=True),
        weights=False,
    )
    leap_bias: float = setting(
        0.0,
        "initial value of b in eq. 2; below 0 starts by retaining",
        search=Range(-2.0, 2.0),
        weights=False,
    )
    preference_dropout: float = setting(
        0.0,
        "fraction of the entries of a_L, all preferences together, zeroed in training",
        minimum=0.0,
        below=1.0,
        weights=False,
    )
    gates: str = setting(
        "both",
        "leap omits the preference gate of eq. 1, none the leap gate too: a GRU",
        choices=GATES,
    )
    leap_gate: str = setting(
        "additive",
        "leap logit: additive is eq. 2, predictive leaps over clicks that the preference would not "
        "have predicted, combined adds both",
        choices=LEAP_GATES,
        search=LEAP_GATES,
    )
    leap_threshold: float = setting(
        2.0,
        "initial theta of the predictive gate, which leaps where alpha times the score is less",
        search=Range(-2.0, 6.0),
        weights=False,
    )
    leap_slope: float = setting(
        1.0, "initial alpha of the predictive gate", search=Range(0.2, 3.0, log=True), weights=False
    )
    exclusive_groups: bool = setting(
        False,
        "each click is in one preference group at most, the first that retains it",
        search=(False, True),
        weights=False,
    )
    inference_gate: str = setting(
        "hard",
        "leap gate at inference; sampled makes scores depend on the batch",
        choices=INFERENCE_GATES,
        weights=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gates == "leap" and self.leap_gate == "predictive":
            raise SettingError(
                "gates", self.gates, "both or none: the predictive leap gate has no preference gate"
            )


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

    neighbors: int = setting(
        100, "nearest of them that count, k", minimum=1, search=Range(20, 2000, log=True)
    )
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

    sample_size: int = setting(
        5000,
        "most recent sessions that share an item with the session",
        minimum=1,
        search=Range(500, 10_000, log=True),
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


@documented
@dataclasses.dataclass(frozen=True)
class FPMCSettings(EncoderSettings):
    """Factorised personalised Markov chains."""

    embedding_dim: int = setting(
        200,
        "size d of the item embeddings, half for the session's term, half for the last click's",
        minimum=2,
        maximum=1_000_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_dim % 2:
            raise SettingError("embedding_dim", self.embedding_dim, "an even number")


@documented
@dataclasses.dataclass(frozen=True)
class SessionDropoutSettings(EncoderSettings):
    """Settings of encoders with dropout of the session's encoding."""

    hidden_dropout: float = setting(
        0.0,
        "fraction of the entries of the session's encoding zeroed in training",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.6),
        weights=False,
    )


@documented
@dataclasses.dataclass(frozen=True)
class GRU4RecSettings(SessionDropoutSettings):
    """GRU4Rec, whose GRU has as many units as item embeddings have entries."""

    tied: bool = setting(
        False, "read clicks by the embeddings that score items, else by a table of their own"
    )


@documented
@dataclasses.dataclass(frozen=True)
class STAMPSettings(EncoderSettings):
    """Short-term attention/memory priority."""


@documented
@dataclasses.dataclass(frozen=True)
class NARMSettings(SessionDropoutSettings):
    """Neural attentive recommendation machine; also CSRM's inner encoder."""

    embedding_dim: int = setting(50, "size d of the item embeddings", minimum=1, maximum=1_000_000)
    hidden_dim: int = setting(100, "units of the GRU", minimum=1, maximum=1_000_000)


@documented
@dataclasses.dataclass(frozen=True)
class CSRMSettings(NARMSettings):
    """Collaborative session-based recommendation machine."""

    memory_size: int = setting(
        10_000, "latest session encodings in the memory", minimum=1, weights=False
    )
    neighbors: int = setting(512, "nearest of them that count", minimum=1, weights=False)


@documented
@dataclasses.dataclass(frozen=True)
class SRGNNSettings(EncoderSettings):
    """Session graphs with gated graph neural networks."""

    propagations: int = setting(
        1, "steps of the graph network", minimum=1, maximum=100, weights=False
    )


@documented
@dataclasses.dataclass(frozen=True)
class NISERSettings(SRGNNSettings):
    """Normalised item and session representations with session graphs, NISER+."""

    normalize: bool = setting(
        True, "score by cosine times a learnt scale: item embeddings and queries have length 1"
    )
    dropout: float = setting(
        0.1,
        "fraction of a session's item embeddings zeroed in training",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.5),
        weights=False,
    )
    positions: int = setting(
        50, "first clicks of a session that have a position of their own", minimum=1, maximum=10_000
    )


@documented
@dataclasses.dataclass(frozen=True)
class SASRecSettings(SessionDropoutSettings):
    """Self-attentive sequential recommendation."""

    embedding_dim: int = setting(50, "size d of the item embeddings", minimum=1, maximum=1_000_000)
    num_blocks: int = setting(
        2, "blocks of self-attention", minimum=1, maximum=100, search=Range(1, 4)
    )
    num_heads: int = setting(1, "heads of the attention", minimum=1, maximum=1_000, weights=False)
    positions: int = setting(
        50,
        "last clicks of a session that are read, each position with an embedding",
        minimum=1,
        maximum=10_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_dim % self.num_heads:
            raise SettingError(
                "num_heads", self.num_heads, f"a divisor of embedding_dim, {self.embedding_dim}"
            )
