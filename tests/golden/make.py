"""Write the golden artefacts of this version: `python tests/golden/make.py`.

All that the package writes to disk, small, from a generated log, and what was
computed from it. Later versions must load it and compute the same.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import hln_tf
from hln_tf.common import files

GOLDEN = Path(__file__).resolve().parent
ARTEFACTS = ("data", "run", "export", "hln.keras", "expected.json")
SESSIONS = 6
LOG = ("--sessions", "250", "--items", "24", "--groups", "4", "--group_items", "14", "--seed", "7")
RUN = (
    *("--embedding_dim", "6", "--hidden_dim", "5", "--num_groups", "2"),
    *("--batch_size", "64", "--epochs", "2", "--learning_rate", "0.02", "--refit"),
)


def command(module, *arguments):
    """Run a command of the package in the working directory, so that all paths are relative."""
    root = os.pathsep.join([str(GOLDEN.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=True)


def make_artefacts():
    """Write the artefacts into the working directory."""
    import tf_keras as keras

    command("beam_preprocess.sample", "generate", "--output", "raw", *LOG)
    where = ("--dataset", "sample", "--raw_dir", "raw", "--data_dir", "data", "--workdir", "run")
    command("hln_tf.train", *where, *RUN)
    shutil.move("run/export", "export")
    shutil.rmtree("run/events", ignore_errors=True)

    keras.utils.set_random_seed(3)
    model = hln_tf.HLN(
        num_items=12, embedding_dim=4, hidden_dim=3, num_groups=2, aggregation="attention"
    )
    model.compile(keras.optimizers.Adam(0.05))
    items, target = keras_examples()
    model.fit(items, target, epochs=3, verbose=0)
    model.save("hln.keras")


def keras_examples():
    """Return items, padded, and targets for the Keras model of 12 items."""
    items = np.array([[3, 7, 0, 0], [9, 1, 4, 12], [0, 5, 5, 0], [2, 11, 8, 6]], np.int32)
    return items, np.array([4, 2, 10, 1], np.int32)


def compute(directory):
    """Load the artefacts in a directory and compute what `expected.json` records.

    Args:
      directory: The artefacts.

    Returns:
      Values by artefact and name, of plain types.
    """
    import tensorflow as tf
    import tf_keras as keras

    directory = Path(directory)
    data = hln_tf.SessionDataset.from_directory(directory / "data")
    test = data.split("test")
    sessions = [
        [data.item_ids[item - 1] for item in test.items[start:end]]
        for start, end in zip(test.offsets[:SESSIONS], test.offsets[1:], strict=False)
    ]
    recommender = hln_tf.load(directory / "run")
    texts = [data.separator.join(session) for session in sessions]
    export = tf.saved_model.load(str(directory / "export" / "1"))
    of_export = export.signatures["sessions"](sessions=tf.constant(texts))
    model = keras.models.load_model(directory / "hln.keras")
    items, target = keras_examples()
    batch = next(iter(data.examples(8, "validation")))
    return {
        "data": {
            "item_ids": list(data.item_ids),
            "sessions": sessions,
            "examples": {part: data.split(part).prefixes for part in ("train", "validation")},
            "batch": {name: part.numpy().tolist() for name, part in batch.items()},
        },
        "run": {
            "recommend": plain(recommender.recommend(sessions, k=5)),
            "exclude_seen": plain(recommender.recommend(sessions, k=5, exclude_seen=True)),
            "explain": [
                {"clicks": each.clicks, "retention": each.retention.tolist(), "groups": each.groups}
                for each in recommender.explain(sessions, k=3)
            ],
            "embed": recommender.embed(sessions).tolist(),
            "evaluate": recommender.evaluate(sessions),
        },
        "export": {
            "item_ids": [[item.decode() for item in row] for row in of_export["item_ids"].numpy()],
            "scores": of_export["scores"].numpy().tolist(),
        },
        "keras": {
            "predict": model.predict(items, verbose=0).tolist(),
            "evaluate": model.evaluate(items, target, verbose=0, return_dict=True),
            "weights": [float(np.sum(np.abs(weight))) for weight in model.get_weights()],
        },
    }


def plain(recommendations):
    """Return recommendations as lists."""
    return [[each.items, each.is_fallback] for each in recommendations]


def main():
    """Replace the artefacts."""
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        make_artefacts()
        Path("run/.lock").unlink(missing_ok=True)
        config = json.loads(Path("run/config.json").read_text("utf-8"))
        config["data"]["directory"] = "data"
        files.write_json(Path("run/config.json"), config)
        text = json.dumps({"version": hln_tf.__version__, **compute(directory)}, indent=1)
        Path("expected.json").write_text(text + "\n", "utf-8")
        for name in ARTEFACTS:
            target = GOLDEN / name
            if target.is_dir():
                shutil.rmtree(target)
            shutil.move(name, target)
        os.chdir(GOLDEN)


if __name__ == "__main__":
    main()
