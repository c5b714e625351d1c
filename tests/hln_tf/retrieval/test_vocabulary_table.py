"""A large vocabulary is a text file, and an export's asset, with the same answers."""

import gc

import numpy as np
import pytest
import tensorflow as tf

from hln_tf.export import export
from hln_tf.models import Popularity
from hln_tf.retrieval import ServingSettings, vocabulary_table
from hln_tf.retrieval.session_graph import SessionGraph
from hln_tf.retrieval.vocabulary_table import VocabularyTable
from serving.errors import ServingError
from serving.servable import Servable

IDS = ["a", " b ", "ü\u2028", "#", "10", '"q"', "\\n", "z"]
SESSIONS = [b"i3 i7 new", b"i1", b"new", b""]
NUM_ITEMS = 12


@pytest.mark.parametrize("limit", [0, 10**6])
def test_ids_have_their_indices_and_others_zero(monkeypatch, limit):
    monkeypatch.setattr(vocabulary_table, "LARGE", limit)
    found = VocabularyTable(IDS)(tf.constant([*IDS, "b", "unknown", "A", vocabulary_table.END]))
    assert found.dtype == tf.int32
    assert found.numpy().tolist() == [*range(1, len(IDS) + 1), 0, 0, 0, 0]


@pytest.mark.parametrize("item", ["a\nb", "a\rb", "a\r", "", vocabulary_table.END])
def test_ids_that_cannot_be_lines_stay_in_the_graph(monkeypatch, item):
    monkeypatch.setattr(vocabulary_table, "LARGE", 0)
    assert VocabularyTable(["x", item])(tf.constant([item, "x"])).numpy().tolist() == [2, 1]


def make_export(path, suffix):
    model = Popularity(NUM_ITEMS)
    model.fit_counts([list(range(1, last + 1)) for last in range(1, NUM_ITEMS + 1)])
    vocabulary = [f"i{index}" for index in range(1, NUM_ITEMS + 1)]
    vocabulary[-1] += suffix
    return export(SessionGraph(model, vocabulary, 50, " ", None, ServingSettings(k=5)), path, {})


def test_the_ids_of_a_large_vocabulary_are_an_asset_of_its_export(monkeypatch, tmp_path):
    """The graph has none of them; the server and TensorFlow answer as without the asset."""
    mark = "a-long-item-id" * 50
    small = make_export(tmp_path / "small", mark)
    monkeypatch.setattr(vocabulary_table, "LARGE", 0)
    large = make_export(tmp_path / "large", mark)
    gc.collect()  # the temporary file is gone with the graph
    ids = (large / "assets" / vocabulary_table.FILE).read_text("utf-8").splitlines()
    indices = range(1, NUM_ITEMS)
    assert ids == [*(f"i{index}" for index in indices), f"i{NUM_ITEMS}{mark}", vocabulary_table.END]
    graphs = [(path / "saved_model.pb").read_bytes() for path in (small, large)]
    assert [mark.encode() in graph for graph in graphs] == [True, False]
    expected = tf.saved_model.load(str(small)).signatures["sessions"](
        sessions=tf.constant(SESSIONS)
    )
    found = tf.saved_model.load(str(large)).signatures["sessions"](sessions=tf.constant(SESSIONS))
    served = Servable(str(large), "large", 1).signature("sessions")
    answer = served.run({"sessions": np.array(SESSIONS, object)})
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        np.testing.assert_array_equal(answer[name], value)


@pytest.mark.parametrize(
    ("cut", "left"),
    [
        (f"\ni{NUM_ITEMS}\n", NUM_ITEMS - 1),
        (f"{NUM_ITEMS}\n", NUM_ITEMS),  # in the last id
        (f"\n{vocabulary_table.END}", NUM_ITEMS),
        ("i1\n", 0),
    ],
)
def test_a_file_that_was_cut_in_its_ids_does_not_load(monkeypatch, tmp_path, cut, left):
    monkeypatch.setattr(vocabulary_table, "LARGE", 0)
    path = make_export(tmp_path / "model", "")
    ids = path / "assets" / vocabulary_table.FILE
    whole = ids.read_text("utf-8")
    ids.write_text(whole[: whole.index(cut)], "utf-8")
    message = f"expected {NUM_ITEMS + 1} but got {left}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.saved_model.load(str(path))
    with pytest.raises(ServingError, match=message):
        Servable(str(path), "model", 1)
    ids.write_text(whole, "utf-8")
    assert Servable(str(path), "model", 1).signature("sessions")


def test_no_id_is_lost_with_the_end_of_the_last_line(monkeypatch, tmp_path):
    monkeypatch.setattr(vocabulary_table, "LARGE", 0)
    path = make_export(tmp_path / "model", "")
    sessions = tf.constant([f"i{NUM_ITEMS}", "i1"])
    expected = tf.saved_model.load(str(path)).signatures["sessions"](sessions=sessions)
    ids = path / "assets" / vocabulary_table.FILE
    ids.write_text(ids.read_text("utf-8")[:-5], "utf-8")
    found = tf.saved_model.load(str(path)).signatures["sessions"](sessions=sessions)
    np.testing.assert_array_equal(found["item_ids"], expected["item_ids"])
