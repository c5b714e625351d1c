"""Errors of a run in an object store name its URL, not the copy on this machine."""

from pathlib import Path

import pytest

import hln_tf
from hln_tf.common.errors import HlnError
from hln_tf.training.run_directory import RunDirectory, existing_run
from serving import export

URL = "s3://clicks/runs/hln"
GOLDEN = Path(__file__).parents[1] / "golden" / "run"


@pytest.fixture
def there(store):
    store.put_directory("runs/hln", GOLDEN)
    return store


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"{", "config.json is not valid JSON"),
        ("config.json", b"{}", "config.json is not a run's config"),
        ("metrics.json", b"[", "metrics.json is not valid JSON"),
        ("vocabulary.txt", b"a\nb\n", "vocabulary.txt is damaged"),
        ("model/weights-3.index", b"no index", "model/weights-3 is damaged"),
    ],
)
def test_a_damaged_file(there, name, content, words):
    there.put(f"runs/hln/{name}", content)
    with pytest.raises(HlnError) as caught:
        hln_tf.load(URL)
    assert str(caught.value).startswith(f"{URL}/{words}")


def test_what_is_no_finished_run(store, tmp_path):
    for path in (GOLDEN / "config.json", GOLDEN / "vocabulary.txt"):
        store.put(f"runs/hln/{path.name}", path.read_bytes())
    with pytest.raises(HlnError, match=f"^{URL} holds no trained model yet"):
        RunDirectory(URL).model()
    with pytest.raises(HlnError, match=f"^{URL} is not finished"):
        export.main(["--workdir", URL, "--output", str(tmp_path / "export")])
    with pytest.raises(HlnError, match=r"^s3://clicks/runs/none/config\.json does not exist"):
        RunDirectory("s3://clicks/runs/none").config()


def test_a_run_that_is_known_by_its_copy(there):
    """Commands pass on the path of the copy."""
    there.put("runs/hln/config.json", b"{")
    with pytest.raises(HlnError, match=f"^{URL}/config.json"):
        RunDirectory(existing_run(URL)).config()


def test_several_runs(there):
    """The name of a run may be the start of another one's."""
    there.put_directory("runs/hln2", GOLDEN)
    paths = [existing_run(url) for url in (URL, f"{URL}2")]
    assert str(HlnError(f"{paths[1]} and {paths[0]}/x")) == f"{URL}2 and {URL}/x"
