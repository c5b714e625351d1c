"""The model card of an export: the model, its data, training and metrics."""

import datetime
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from hln_tf.common import __version__
from hln_tf.retrieval.session_graph import SessionGraph
from hln_tf.training.run_config import RunConfig

MODEL_CARD = "model_card.json"


def describe_run(config: RunConfig, results: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a run for its model card.

    Args:
      config: The run's settings.
      results: Its results, the content of `metrics.json`.
    """
    counts = {"items": config.data.items, "parameters": results["parameters"]}
    return {
        "model": config.model,
        "data": {
            "dataset": config.data.dataset,
            "trained_on": results["trained_on"],
            "vocabulary_sha256": config.data.vocabulary_sha256,
            "fingerprint": config.data.fingerprint,
        },
        "settings": {
            "model": config.to_dict()["model_settings"],
            "training": config.to_dict()["training"],
        },
        "metrics": {split: results[split] for split in ("validation", "test") if split in results},
        "counts": counts | {"sessions": results.get("sessions")},
        "trained_with": {"hln_tf": config.version},
    }


def model_card(
    graph: SessionGraph, signatures: Mapping[str, Any], run: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the content of `model_card.json`.

    Args:
      graph: The exported graph.
      signatures: Its signatures by name, see `hln_tf.export.signatures`.
      run: The description from `describe_run`; empty for a model without a run.
    """
    return {
        **run,
        "serving": {
            "signatures": list(signatures),
            "separator": graph.separator,
            "max_length": graph.max_length,
            "candidates": graph.num_candidates,
            "k": graph.settings.k,
            "k_max": graph.settings.k_max,
            "index": graph.settings.index,
        },
        "exported_with": {
            "hln_tf": __version__,
            "revision": source_revision(),
            "tensorflow": tf.__version__,
        },
        "exported_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def source_revision(package: Path = Path(__file__).parent) -> str | None:
    """Find the git revision of a package, followed by `-dirty` if files differ from it.

    Args:
      package: The package's directory.

    Returns:
      None if it is not tracked by git, such as when it is installed, or if there
      is no git.
    """
    git = ["git", "-C", str(package)]
    try:
        # An installed package may be in a directory of another repository.
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", "."], check=True, capture_output=True, timeout=30
        )
        described = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
