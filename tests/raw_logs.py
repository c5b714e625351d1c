"""Raw logs read in this process as the pipeline reads them."""

from beam_preprocess import Settings, Work
from beam_preprocess.format_detection import open_logs
from beam_preprocess.inputs import expand_inputs
from beam_preprocess.read import find_files
from beam_preprocess.scan import add_row_counts, cut, scan
from beam_preprocess.stats import check_rows


def read_log(inputs, log, block_bytes=1 << 20, **protocol):
    """Read a log; returns the tables of clicks of its blocks and the counts of its rows."""
    settings = Settings(**{"dataset": "custom", "log": log, "session_timeout": 1800, **protocol})
    opened = open_logs(find_files(expand_inputs(inputs)), log)
    blocks = [
        block
        for part in cut(opened.files, block_bytes)
        for block in scan(part, settings, Work(block_bytes=block_bytes))
    ]
    rows = check_rows(add_row_counts([counts for counts, _, _ in blocks]), opened, settings)
    return [clicks for _, _, clicks in blocks if clicks is not None], rows
