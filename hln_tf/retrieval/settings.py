"""Settings of what a served model answers. Imports no TensorFlow."""

import dataclasses

from hln_tf.common.settings import checked, setting


@dataclasses.dataclass(frozen=True)
class ServingSettings:
    """How many items the signatures return, and how they are searched."""

    k: int = setting(20, "items for each session", minimum=1, maximum=1_000_000)
    k_max: int = setting(
        100, "most items for a session that names its own k", minimum=1, maximum=1_000_000
    )
    index: str = setting(
        "exact",
        "search of the candidates; scann is approximate, for large catalogues, and needs a server "
        "with its custom operation",
        choices=("exact", "scann"),
    )

    def __post_init__(self) -> None:
        checked(self)
