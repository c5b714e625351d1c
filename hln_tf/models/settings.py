"""The settings of the trained models. Imports no TensorFlow."""

import dataclasses

from hln_tf.common.errors import SettingError
from hln_tf.common.settings import Range, checked, documented, redeclared, setting
from hln_tf.layers.choices import (
    AGGREGATIONS,
    GATES,
    INFERENCE_GATES,
    LAST_CLICKS,
    LEAP_GATES,
)

_SIZES = Range(32, 256, log=True)
# The settings with which HLN has a leap gate, and those with which it has the terms of its logit.
_LEAPING = {"gates": ("both", "leap")}
_ADDITIVE = {**_LEAPING, "leap_gate": ("additive", "combined")}
_PREDICTIVE = {**_LEAPING, "leap_gate": ("predictive", "combined")}


@documented
@dataclasses.dataclass(frozen=True)
class EncoderSettings:
    """Settings of all trained models: the item embeddings and how queries are scored with them."""

    embedding_dim: int = setting(
        100,
        "size d of the item embeddings",
        minimum=1,
        maximum=1_000_000,
        search=_SIZES,
        searched=False,
    )
    normalize: bool = setting(
        False,
        "score by cosine times a learnt scale: item embeddings and queries have length 1",
        search=(False, True),
        searched=False,
    )
    scale: float = setting(
        16.0,
        "initial value of the learnt scale, with normalize",
        above=0.0,
        search=Range(4.0, 32.0, log=True),
        searched=False,
        applies={"normalize": (True,)},
        weights=False,
    )
    dropout: float = setting(
        0.0,
        "fraction of a session's item embeddings zeroed in training",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.5),
        weights=False,
    )
    last_click: str = setting(
        "none",
        "what the last click's item embedding adds to the query: it times learnt weights (scaled) "
        "or a learnt matrix (projected), which are 0 at first",
        choices=LAST_CLICKS,
        search=LAST_CLICKS,
        searched=False,
    )
    repeat_head: bool = setting(
        False,
        "score by log-probabilities of two softmaxes, over the session's items and over all "
        "others, mixed by a learnt gate; for loss softmax",
        search=(False, True),
        searched=False,
        applies={"loss": ("softmax",)},
    )

    def __post_init__(self) -> None:
        checked(self)


@documented
@dataclasses.dataclass(frozen=True)
class HLNSettings(EncoderSettings):
    """Hierarchical Leaping Networks; the defaults are the paper's where it gives a value."""

    hidden_dim: int = setting(
        200, "size n of a preference", minimum=1, maximum=1_000_000, search=_SIZES, searched=False
    )
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
        applies=_LEAPING,
        weights=False,
    )
    leap_bias: float = setting(
        0.0,
        "initial value of b in eq. 2; below 0 starts by retaining",
        search=Range(-2.0, 2.0),
        applies=_ADDITIVE,
        weights=False,
    )
    preference_dropout: float = setting(
        0.0,
        "fraction of the entries of a_L, all preferences together, zeroed in training",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.5),
        searched=False,
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
        applies=_LEAPING,
    )
    leap_threshold: float = setting(
        2.0,
        "initial theta of the predictive gate, which leaps where alpha times the score is less",
        search=Range(-2.0, 6.0),
        applies=_PREDICTIVE,
        weights=False,
    )
    leap_slope: float = setting(
        1.0,
        "initial alpha of the predictive gate",
        search=Range(0.2, 3.0, log=True),
        applies=_PREDICTIVE,
        weights=False,
    )
    exclusive_groups: bool = setting(
        False,
        "each click is in one preference group at most, the first that retains it",
        search=(False, True),
        applies=_LEAPING,
        weights=False,
    )
    inference_gate: str = setting(
        "hard",
        "leap gate at inference; sampled makes scores depend on the batch",
        choices=INFERENCE_GATES,
        applies=_LEAPING,
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
class FPMCSettings(EncoderSettings):
    """Factorised personalised Markov chains."""

    embedding_dim: int = setting(
        200,
        "size d of the item embeddings, half for the session's term, half for the last click's",
        minimum=2,
        maximum=1_000_000,
        search=_SIZES,
        searched=False,
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
        False,
        "read clicks by the embeddings that score items, else by a table of their own",
        search=(False, True),
        searched=False,
    )


@documented
@dataclasses.dataclass(frozen=True)
class STAMPSettings(EncoderSettings):
    """Short-term attention/memory priority."""

    max_norm: float = setting(
        0.0,
        "length to which a click's embedding is cut, 1 in the authors' code; 0: none",
        minimum=0.0,
        search=(0.0, 1.0),
        searched=False,
        weights=False,
    )


@documented
@dataclasses.dataclass(frozen=True)
class NARMSettings(SessionDropoutSettings):
    """Neural attentive recommendation machine; also CSRM's inner encoder."""

    embedding_dim: int = redeclared(EncoderSettings, "embedding_dim", 50)
    hidden_dim: int = setting(
        100, "units of the GRU", minimum=1, maximum=1_000_000, search=_SIZES, searched=False
    )


@documented
@dataclasses.dataclass(frozen=True)
class CSRMSettings(NARMSettings):
    """Collaborative session-based recommendation machine."""

    memory_size: int = setting(
        10_000,
        "latest session encodings in the memory",
        minimum=1,
        search=Range(1000, 50_000, log=True),
        searched=False,
        weights=False,
    )
    neighbors: int = setting(
        512,
        "nearest of them that count",
        minimum=1,
        search=Range(32, 1024, log=True),
        searched=False,
        weights=False,
    )


@documented
@dataclasses.dataclass(frozen=True)
class SRGNNSettings(EncoderSettings):
    """Session graphs with gated graph neural networks."""

    propagations: int = setting(
        1,
        "steps of the graph network",
        minimum=1,
        maximum=100,
        search=Range(1, 3),
        searched=False,
        weights=False,
    )


@documented
@dataclasses.dataclass(frozen=True)
class NISERSettings(SRGNNSettings):
    """Normalised item and session representations with session graphs, NISER+."""

    normalize: bool = redeclared(EncoderSettings, "normalize", True, search=None)
    dropout: float = redeclared(EncoderSettings, "dropout", 0.1)
    positions: int = setting(
        50, "first clicks of a session that have a position of their own", minimum=1, maximum=10_000
    )


@documented
@dataclasses.dataclass(frozen=True)
class SASRecSettings(SessionDropoutSettings):
    """Self-attentive sequential recommendation."""

    embedding_dim: int = redeclared(EncoderSettings, "embedding_dim", 50)
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
