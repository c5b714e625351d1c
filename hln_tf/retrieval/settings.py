"""Settings of a served model's answers. Imports no TensorFlow."""

import dataclasses

from hln_tf.common.settings import checked, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class ServingSettings:
    """The number of items that signatures return, and the search for them."""

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
