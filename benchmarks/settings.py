"""What a benchmark measures. Imports no TensorFlow."""

import dataclasses

from hln_tf.common.settings import checked, setting


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """How much is measured."""

    batches: int = setting(20, "batches in a round", minimum=1, maximum=10_000)
    rounds: int = setting(7, "rounds, in each of which all take their turn", minimum=1)
    seed: int = setting(1, "fixes weights, batches and noise", minimum=0, maximum=2**32 - 1)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class PredictionSettings:
    """How much of prediction is measured for Table 1."""

    prediction_rounds: int = setting(
        5, "rounds of prediction, in each of which all models take their turn", minimum=1
    )
    prediction_sessions: int = setting(
        200, "sessions in a round that come alone", minimum=1, maximum=1_000_000
    )
    prediction_batches: int = setting(
        4, "batches of 512 sessions in a round", minimum=1, maximum=10_000
    )

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """How much of training is measured for several models."""

    prefixes: int = setting(
        20_480, "train prefixes in a round, the same for all models", minimum=1, maximum=10**9
    )
    rounds: int = setting(3, "rounds, in each of which all models take their turn", minimum=1)
    seed: int = setting(1, "fixes weights, batches and noise", minimum=0, maximum=2**32 - 1)

    def __post_init__(self) -> None:
        checked(self)
