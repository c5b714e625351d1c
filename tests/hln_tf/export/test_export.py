import errno
import json
import subprocess
import threading

import numpy as np
import pytest
from commands import finish, run, start

from hln_tf.common.errors import HlnError
from hln_tf.export.model_card import source_revision
from hln_tf.training.run_directory import RunDirectory

SESSIONS = [["i3", "i6"], ["new", "i3", "other", "i6"], ["i7"], ["new"], []]

# Serves with TensorFlow alone: for each request, its signature and inputs.
SERVER = """
import json, sys
import tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
answers = []
for name, inputs in json.loads(sys.argv[2]):
    outputs = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
    answers.append({key: value.numpy().tolist() for key, value in outputs.items()})
assert not any(name.split(".")[0] == "hln_tf" for name in sys.modules)
print(json.dumps(answers, default=bytes.decode))
"""


@pytest.fixture(scope="module")
def recommender(trained):
    from hln_tf import Recommender

    return Recommender.load(RunDirectory(trained.path))


@pytest.mark.slow
def test_saved_model_serves_without_this_package(trained, recommender):
    longest, rows = max(map(len, SESSIONS)), len(SESSIONS)
    sessions = {"sessions": [" ".join(session) for session in SESSIONS]}
    requests = [
        (
            "serving_default",
            {"items": [session + [""] * (longest - len(session)) for session in SESSIONS]},
        ),
        ("sessions", sessions),
        ("sessions_k", {**sessions, "k": [20] * rows, "exclude_seen": [False] * rows}),
        ("explain", sessions),
        ("embed", sessions),
    ]
    outcome = finish(start(SERVER, trained.path / "export" / "1", json.dumps(requests)))
    assert outcome.code == 0, outcome.err
    padded, strings, each, explained, embedded = json.loads(outcome.out)
    expected = recommender.recommend(SESSIONS, 20)
    for row, session in enumerate(SESSIONS):
        listed = run(
            "hln_tf.recommend", "--workdir", trained.path, "--session", " ".join(session)
        ).out.splitlines()
        for answer in (padded, strings, each):
            assert answer["item_ids"][row][:20] == [line.split()[1] for line in listed]
            scores = [score for _, score in expected[row].items]
            assert answer["scores"][row][:20] == pytest.approx(scores, abs=1e-5)
    assert padded["item_ids"][1] == padded["item_ids"][0]
    assert each["is_fallback"] == [answer.is_fallback for answer in expected]
    np.testing.assert_allclose(embedded["query"], recommender.embed(SESSIONS), atol=1e-5)
    for row, explanation in enumerate(recommender.explain(SESSIONS, 20)):
        clicks = len(explanation.clicks)
        assert [click for click in explained["clicks"][row] if click] == explanation.clicks
        retention = np.array(explained["retention"][row])
        np.testing.assert_allclose(retention[:, :clicks], explanation.retention, atol=1e-5)
        ids = [[item for item in group if item] for group in explained["group_item_ids"][row]]
        assert ids == [[item for item, _ in group] for group in explanation.groups]


def test_no_operation_is_custom(trained):
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((trained.path / "export/1/saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for call in graph.library.function for node in call.node_def)]
    functions = {call.signature.name for call in graph.library.function}
    operations = {node.op for node in nodes} - functions
    # TensorFlow registers its own without a namespace; `>` separates that from the name.
    unknown = [name for name in operations if op_def_registry.get(name) is None or ">" in name]
    assert "LookupTableFindV2" in operations and not unknown
    assert not {name for name in operations if "PyFunc" in name}


@pytest.mark.slow
def test_there_are_warm_up_requests_for_each_signature_and_they_work(trained):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = trained.path / "export/1"
    signatures = tf.saved_model.load(str(path)).signatures
    records = tf.data.TFRecordDataset(str(path / "assets.extra/tf_serving_warmup_requests"))
    warmed = []
    for record in records.as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.SerializeToString(deterministic=True) == record
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](
            **{name: tf.constant(value) for name, value in inputs.items()}
        )
        assert not np.any(answer.get("is_fallback", False))
        assert {len(value) for value in answer.values()} == {1}
        warmed.append(request.model_spec.signature_name)
    assert sorted(warmed) == sorted(signatures)


@pytest.mark.slow
def test_an_export_needs_no_tensorflow_serving_api(trained, tmp_path):
    script = (
        "import sys; sys.modules['tensorflow_serving'] = None\n"
        "from pathlib import Path\n"
        "from hln_tf import Recommender\n"
        "print(Recommender.load(sys.argv[1]).export(Path(sys.argv[2]), {}))"
    )
    outcome = finish(start(script, trained.path, tmp_path / "export"))
    assert outcome.code == 0, outcome.err
    requests = [
        (path / "export/1/assets.extra/tf_serving_warmup_requests").read_bytes()
        for path in (tmp_path, trained.path)
    ]
    assert requests[0] == requests[1]


def test_the_items_are_in_order_of_popularity(trained, recommender):
    items = (trained.path / "export/1/assets.extra/items.txt").read_text().splitlines()
    (fallback,) = recommender.recommend([[]], 30)
    assert items == [item for item, _ in fallback.items]


def test_the_model_card_describes_the_model_and_its_training(trained):
    import hln_tf

    card = json.loads((trained.path / "export/1/assets.extra/model_card.json").read_text())
    config = json.loads((trained.path / "config.json").read_text())
    assert card["model"] == "hln" and card["data"]["dataset"] == "sample"
    assert card["data"]["fingerprint"] == config["data"]["fingerprint"]
    assert card["settings"] == {"model": config["model_settings"], "training": config["training"]}
    assert card["metrics"] == {part: trained.metrics[part] for part in ("validation", "test")}
    assert card["counts"]["sessions"] == {"train": 120, "validation": 30, "test": 40}
    assert card["counts"]["items"] == 30
    assert card["counts"]["parameters"] == trained.metrics["parameters"]
    assert card["trained_with"] == {"hln_tf": hln_tf.__version__}
    assert card["serving"] == {
        "signatures": ["serving_default", "sessions", "sessions_k", "explain", "embed"],
        "separator": " ",
        "max_length": 50,
        "candidates": 30,
        "k": 20,
        "k_max": 100,
        "index": "exact",
    }


def test_each_export_is_a_new_version(recommender, tmp_path):

    base = tmp_path / "export"
    assert recommender.export(base, {}) == base / "1"
    first = {path.name: path.stat().st_mtime_ns for path in (base / "1").iterdir()}
    assert recommender.export(base, {}) == base / "2"
    assert {path.name: path.stat().st_mtime_ns for path in (base / "1").iterdir()} == first
    with pytest.raises(HlnError, match="exists already"):
        recommender.export(base, {}, version=2)
    assert sorted(entry.name for entry in base.iterdir()) == ["1", "2"]


@pytest.mark.slow
def test_exports_at_the_same_time_become_versions_of_their_own(tmp_path):
    from hln_tf import Recommender
    from hln_tf.models.popularity import Popularity

    paths = []
    recommender = Recommender(Popularity(2), ["a", "b"], 5, " ")
    threads = [
        threading.Thread(target=lambda: paths.append(recommender.export(tmp_path, {})))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(paths) == [tmp_path / version for version in "123"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2", "3"]


def test_a_base_that_is_a_file_is_named(recommender, tmp_path):

    (tmp_path / "hln").write_text("")
    with pytest.raises(HlnError, match="hln is not a directory"):
        recommender.export(tmp_path / "hln", {})


def test_failed_export_leaves_nothing(recommender, tmp_path, monkeypatch):
    import tensorflow as tf

    def full(obj, export_dir, signatures, options):
        with open(f"{export_dir}/saved_model.pb", "w") as file:
            file.write("half")
        raise OSError(errno.ENOSPC, "No space left on device", export_dir)

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError):
        recommender.export(tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_the_revision_of_a_checkout(tmp_path):
    def git(*words):
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text("")
    assert source_revision(package) is None
    git("init")
    assert source_revision(package) is None  # inside of a repository that is not its own
    git("add", ".")
    git("commit", "-m", "first")
    revision = git("rev-parse", "HEAD")
    assert source_revision(package) == revision
    (package / "module.py").write_text("changed")
    assert source_revision(package) == f"{revision}-dirty"


def test_without_git_there_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_revision() is None
