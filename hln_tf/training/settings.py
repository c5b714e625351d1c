"""The settings of the training and of its logs."""

import dataclasses
import re
from typing import Any

from hln_tf.common.errors import SettingError, UsageError
from hln_tf.common.settings import Range, checked, documented, setting
from hln_tf.layers.choices import EXECUTIONS, GRAPH, LOSSES, PRECISIONS, SCORE_MEGABYTES
from hln_tf.training.precision import AUTO

# The validation metric that chooses the epoch and that a search maximises.
OBJECTIVE = "mrr@20"

_SAMPLED = {"loss": ("sampled", "bpr", "bpr_adaptive", "bpr_max", "top1", "binary")}

# Settings that other losses than softmax refuse, with the values by which they are off.
_OF_SOFTMAX = (
    ("repeat_head", False, "its two softmaxes need the loss softmax"),
    ("label_smoothing", 0.0, "the loss softmax alone smooths labels"),
)


@documented
@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Settings of the training; the defaults are the paper's values if it gives any."""

    epochs: int = setting(20, "largest number of passes over the training examples", minimum=1)
    batch_size: int = setting(
        64,
        "examples in a step",
        minimum=1,
        maximum=1_000_000,
        search=Range(64, 512, log=True),
    )
    max_length: int = setting(
        50,
        "last clicks of a session that are used",
        minimum=1,
        maximum=1_000_000,
        search=Range(5, 50, log=True),
        searched=False,
    )
    loss: str = setting(
        "softmax",
        "cross-entropy over the catalogue, eq. 8 as printed, or of the target against sampled "
        "negatives: cross-entropy (sampled, for large catalogues) and pairwise losses",
        choices=LOSSES,
    )
    num_negatives: int = setting(
        1024,
        "negatives in a step, for losses that sample them",
        minimum=1,
        maximum=10_000_000,
        search=Range(64, 4096, log=True),
        searched=False,
        applies=_SAMPLED,
    )
    sampling_power: float = setting(
        0.5,
        "negatives are sampled in proportion to clicks ** this: 0 uniformly, 1 by popularity",
        minimum=0,
        maximum=1,
        search=Range(0.0, 1.0),
        searched=False,
        applies=_SAMPLED,
    )
    score_penalty: float = setting(
        0.0,
        "weight of the squares of negatives' scores in loss bpr_max",
        minimum=0.0,
        search=Range(0.0, 2.0),
        searched=False,
        applies={"loss": ("bpr_max",)},
    )
    optimizer: str = setting(
        "adam",
        "optimiser; adam updates only the item embeddings that a step with sampled negatives uses",
        choices=("adam", "adagrad", "sgd"),
    )
    learning_rate: float = setting(
        0.001, "initial learning rate", above=0.0, search=Range(3e-4, 1e-2, log=True)
    )
    momentum: float = setting(
        0.9,
        "momentum of sgd",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.95),
        searched=False,
        applies={"optimizer": ("sgd",)},
    )
    epsilon: float = setting(
        1e-7,
        "added to the root of adam's second moment, or of adagrad's sum: a larger one makes "
        "smaller updates of weights with small gradients",
        above=0.0,
        search=Range(1e-8, 1e-3, log=True),
        searched=False,
        applies={"optimizer": ("adam", "adagrad")},
    )
    decay: float = setting(
        0.1,
        "factor on the learning rate every decay_epochs",
        above=0.0,
        maximum=1.0,
        search=Range(0.1, 1.0, log=True),
        searched=False,
    )
    decay_epochs: int = setting(
        3,
        "epochs between decays of the learning rate",
        minimum=1,
        search=Range(1, 5),
        searched=False,
    )
    precision: str = setting(
        "float32",
        "bfloat16 rounds the factors of the softmax's products, weights and sums stay float32; "
        "auto is bfloat16 where the processor or GPU has matrix units for it, and stays what it "
        "was when a run is resumed",
        choices=(*PRECISIONS, AUTO),
        applies={"loss": ("softmax",)},
    )
    label_smoothing: float = setting(
        0.0,
        "part of the target's mass that the loss spreads evenly over all items",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.3),
        searched=False,
        applies={"loss": ("softmax",)},
    )
    clip_norm: float = setting(
        0.0,
        "largest global norm of the gradients, 0 for none",
        minimum=0.0,
        search=Range(0.1, 10.0, log=True),
        searched=False,
    )
    l2: float = setting(
        0.0,
        "weight decay: adds this times a weight to its gradient",
        minimum=0.0,
        search=Range(1e-7, 1e-3, log=True),
        searched=False,
    )
    patience: int = setting(
        3, "number of epochs without a better validation MRR@20 before early stopping", minimum=1
    )
    refit: bool = setting(
        False,
        "before the test, train a new model on full train for the number of epochs that validation "
        "chose, so that it knows what is new in validation; the default for --dataset custom",
    )
    seed: int = setting(1, "fixes initial weights, batches and noise", minimum=0, maximum=2**32 - 1)
    deterministic: bool = setting(False, "use only operations that are reproducible bit for bit")
    execution: str = setting(
        GRAPH,
        "how steps are executed: graph, or xla, on one device, as programs that XLA compiles for "
        "a few lengths of sessions; results agree to rounding",
        choices=EXECUTIONS,
    )
    steps_per_execution: int = setting(
        1,
        "steps in a call of TensorFlow, on one device; changes no result",
        minimum=1,
        maximum=100,
    )
    evaluation_batch_size: int = setting(
        1024, "examples ranked at a time", minimum=1, maximum=1_000_000
    )
    score_megabytes: int = setting(
        SCORE_MEGABYTES,
        "largest size of the scores in memory at a time in evaluation, in megabytes",
        minimum=1,
        maximum=8_000,
    )
    checkpoint_minutes: float = setting(5.0, "minutes between two checkpoints at most", minimum=0.0)

    def __post_init__(self) -> None:
        checked(self)

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate in an epoch, counted from 0."""
        return self.learning_rate * self.decay ** (epoch // self.decay_epochs)


def check_loss(*parts: Any) -> None:
    """Check that the loss takes what the settings of a run ask of it.

    Args:
      *parts: Settings dataclasses, of a model, of its training or of both.

    Raises:
      SettingError: It does not.
    """
    values = {name: value for part in parts for name, value in dataclasses.asdict(part).items()}
    loss = values.get("loss", "softmax")
    for name, off, reason in _OF_SOFTMAX:
        if loss != "softmax" and values.get(name, off) != off:
            raise SettingError(name, values[name], f"{off} with the loss {loss}: {reason}")


@documented
@dataclasses.dataclass(frozen=True)
class TensorBoardSettings:
    """Settings of the logs for TensorBoard; they change no result and are not in the config.

    Raises:
      UsageError: `profile_steps` is no range of steps.
    """

    tensorboard: bool = setting(
        False,
        "in addition to scalars and HParams write gradient norms, retention, histograms, the "
        "graph and item embeddings, and print the command that opens TensorBoard",
    )
    profile_steps: str | None = setting(
        None, "steps of this process to profile, as FIRST:LAST, or how many after the first 10"
    )

    def __post_init__(self) -> None:
        checked(self)
        self.profile_range()

    def profile_range(self) -> tuple[int, int] | None:
        """Return the first and last step of the profile, counted from 1."""
        if self.profile_steps is None:
            return None
        found = re.fullmatch(r"(?:([0-9]{1,9}):)?([0-9]{1,9})", self.profile_steps)
        if found:
            last = int(found[2])
            first, last = (int(found[1]), last) if found[1] else (11, last + 10)
            if 1 <= first <= last:
                return first, last
        raise UsageError(
            f"`profile_steps` is {self.profile_steps!r}, expected FIRST:LAST, such as 11:20, "
            f"counted from 1, or a number of steps"
        )
