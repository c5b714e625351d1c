"""The workers of a training, from the environment variable TF_CONFIG. Imports no TensorFlow."""

import dataclasses
import json
import os
from collections.abc import Mapping

from hln_tf.common.errors import UsageError

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a training, and this process' index among them.

    Attributes:
      workers: Their addresses, `host:port`; the first is the chief, which alone
        writes files and shows progress. Empty if this process trains alone.
      index: Index of this process in `workers`.
    """

    workers: tuple[str, ...] = ()
    index: int = 0

    @property
    def is_several(self) -> bool:
        """True if there are other workers."""
        return len(self.workers) > 1

    @property
    def is_chief(self) -> bool:
        """True if this process writes files and shows progress."""
        return self.index == 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Cluster":
        """Read TF_CONFIG; without it, or without a cluster in it, this process trains alone.

        Args:
          environment: The environment variables.

        Raises:
          UsageError: Its format is not TensorFlow's, or it has tasks of other
            types than `chief` and `worker`.
        """
        text = environment.get(VARIABLE, "").strip()
        try:
            config = json.loads(text or "{}")
            cluster = config.get("cluster") or {}
            if not cluster:
                return cls()
            others = set(cluster) - {"chief", "worker"}
            if others:
                raise ValueError(f"tasks of type {sorted(others)[0]!r} are not supported")
            chiefs, workers = (list(cluster.get(name, [])) for name in ("chief", "worker"))
            task, index = config["task"]["type"], int(config["task"]["index"])
            own = {"chief": chiefs, "worker": workers}[task]
            if not 0 <= index < len(own):
                raise ValueError(f"there is no task {task} {index}")
            if len(chiefs) > 1 or not all(isinstance(each, str) for each in chiefs + workers):
                raise ValueError("expected one chief at most, and addresses as host:port")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
            raise UsageError(
                f"{VARIABLE} is {text!r} ({reason}), expected such as {_EXAMPLE}"
            ) from None
        return cls((*chiefs, *workers), index + (len(chiefs) if task == "worker" else 0))
