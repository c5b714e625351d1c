"""The settings of preprocessing: a protocol, the format of the log and that of the data set."""

import dataclasses
import json
from typing import Any

from beam_preprocess.datasets import CUSTOM, DATASETS
from beam_preprocess.formats import LogFormat
from hln_tf.common.errors import UsageError
from hln_tf.common.settings import checked, setting
from hln_tf.common.text import read_separator
from hln_tf.data.protocol_settings import ProtocolSettings


@dataclasses.dataclass(frozen=True)
class Settings(ProtocolSettings):
    """The settings that determine the content of a data set directory.

    Attributes:
      log: The format of a custom log, None for a named one.
    """

    dataset: str = setting(
        "sample",
        f"the raw log's format and the defaults below; {CUSTOM}: as --spec says",
        choices=(*DATASETS, CUSTOM),
    )
    separator: str = setting(
        " ", r"joins item ids where a session is written as one string; \t is a tab"
    )
    max_malformed: float = setting(
        0.01, "stop when a larger share of the rows is malformed", minimum=0, maximum=1
    )
    shards: int = setting(4, "number of files of each part", minimum=1, maximum=99_999)
    compression: str = setting("none", "of the TFRecord files", choices=("none", "gzip"))
    log: LogFormat | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "separator", read_separator(self.separator))
        if len(self.separator) != 1 or self.separator in "\r\n":
            raise UsageError(
                f"`separator` is {self.separator!r}, expected one character, not a line break"
            )
        if (self.dataset == CUSTOM) != (self.log is not None):
            raise UsageError(f"`dataset` {CUSTOM} and `spec` go together: give both or neither")
        if self.log_format.user:
            self.check_users()

    @property
    def log_format(self) -> LogFormat:
        """The format of the log, with its extra columns."""
        log = self.log or DATASETS[self.dataset].log
        return dataclasses.replace(log, extra=self.extra_columns)

    def description(self) -> dict[str, Any]:
        """Return all settings as JSON has them."""
        values = dataclasses.asdict(self)
        if self.log is not None:
            del values["log"]["extra"]
        return json.loads(json.dumps(values))


@dataclasses.dataclass(frozen=True)
class Work:
    """The division of the work, on which the data set does not depend."""

    workers: int = setting(0, "threads of the local runner; 0: one for each core", minimum=0)
    partitions: int = setting(16, "parts in which sessions are grouped", minimum=1, maximum=4096)
    block_bytes: int = setting(8 << 20, "raw bytes parsed at a time", minimum=1, maximum=1 << 30)

    def __post_init__(self) -> None:
        checked(self)
