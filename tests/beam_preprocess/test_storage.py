"""Logs and data sets in a file system that is not this machine's."""

import gzip
import io
from typing import ClassVar

import pytest
from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem
from apache_beam.options.pipeline_options import S3Options

from beam_preprocess import Settings, Work, prepare, storage
from beam_preprocess.generate import LogSettings, generate
from hln_tf.common.errors import HlnError

CONFIG = Settings(train_fraction="1/2", validation_fraction="0.2")
WORK = Work(workers=2, partitions=3, block_bytes=50_000)
OBJECTS: dict[str, bytes] = {}


class Upload(io.BytesIO):
    """An object that appears when it is closed."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def close(self):
        if not self.closed:
            OBJECTS[self.path] = self.getvalue()
        super().close()


class StoreFileSystem(FileSystem):
    """A store of objects without directories, as gs:// and s3:// are, in memory."""

    regions: ClassVar = set()

    def __init__(self, pipeline_options):
        super().__init__(pipeline_options)
        self.regions.add(pipeline_options.view_as(S3Options).s3_region_name)

    @classmethod
    def scheme(cls):
        return "store"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, prefix):
        return [self.metadata(path) for path in list(OBJECTS) if path.startswith(prefix)]

    def create(self, path, mime_type=None, compression_type=None):
        return Upload(path)

    def open(self, path, mime_type=None, compression_type=None):
        return io.BytesIO(OBJECTS[path])

    def copy(self, sources, targets):
        for source, target in zip(sources, targets, strict=True):
            OBJECTS[target] = OBJECTS[source]

    def rename(self, sources, targets):
        self.copy(sources, targets)
        self.delete(sources)

    def exists(self, path):
        return path in OBJECTS

    def size(self, path):
        return len(OBJECTS[path])

    def last_updated(self, path):
        return 0.0

    def metadata(self, path):
        return FileMetadata(path, len(OBJECTS[path]))

    def delete(self, paths):
        missing = {path: KeyError(path) for path in paths if OBJECTS.pop(path, None) is None}
        if missing:
            raise BeamIOError("Delete operation failed", missing)


@pytest.fixture
def log(tmp_path):
    """Generate a log, locally and as a compressed object."""
    OBJECTS.clear()
    generate(LogSettings(output=str(tmp_path / "log"), clicks=5_000))
    OBJECTS["store://bucket/raw/log.gz"] = gzip.compress((tmp_path / "log").read_bytes())
    OBJECTS["store://bucket/raw/log"] = (tmp_path / "log").read_bytes()
    return tmp_path / "log"


def written(url):
    return {path.removeprefix(f"{url}/"): data for path, data in OBJECTS.items() if url in path}


@pytest.mark.slow
def test_same_files_as_in_a_local_directory(log, tmp_path, capsys):
    url = "store://bucket/data"
    manifest = prepare(["store://bucket/raw/log"], url, CONFIG, WORK)
    assert manifest == prepare([log], tmp_path / "data", CONFIG, WORK)
    local = {
        str(path.relative_to(tmp_path / "data")): path.read_bytes()
        for path in (tmp_path / "data").rglob("*")
        if path.is_file()
    }
    assert written(url) == local
    assert prepare(["store://bucket/raw/log"], f"{url}/", CONFIG) == manifest
    assert f"{url} already holds this data set" in capsys.readouterr().err


@pytest.mark.slow
def test_directories_and_patterns_of_objects(log, tmp_path):
    rows = log.read_bytes().splitlines(keepends=True)
    for number in range(3):
        OBJECTS[f"store://bucket/hours/{number}"] = b"".join(rows[number::3])
    OBJECTS["store://bucket/hours/_SUCCESS"] = b"no log"
    files = prepare(
        [f"store://bucket/hours/{number}" for number in range(3)], tmp_path / "a", CONFIG, WORK
    )
    for output, given in (("b", "store://bucket/hours"), ("c", "store://bucket/hours/*")):
        assert prepare([given], tmp_path / output, CONFIG, WORK) == files
    with pytest.raises(HlnError, match=r"hours/\*\.csv matches no file"):
        prepare(["store://bucket/hours/*.csv"], tmp_path / "d", CONFIG, WORK)


@pytest.mark.slow
def test_beam_flags_of_a_file_system_reach_it(log):
    StoreFileSystem.regions.clear()
    flags = ["--s3_region_name", "here"]
    prepare(["store://bucket/raw/log"], "store://bucket/data", CONFIG, WORK, flags)
    assert StoreFileSystem.regions == {"here"}


@pytest.mark.slow
def test_another_data_set_is_replaced_whole(log):
    url = "store://bucket/data"
    prepare(["store://bucket/raw/log.gz"], url, CONFIG, WORK)
    other = Settings(shards=2)
    with pytest.raises(HlnError, match="pass `overwrite`"):
        prepare(["store://bucket/raw/log.gz"], url, other, WORK)
    manifest = prepare(["store://bucket/raw/log.gz"], url, other, WORK, overwrite=True)
    files = {file for split in manifest.splits.values() for file in split.files}
    assert set(written(url)) == {*files, "vocabulary.txt", "stats.json", "manifest.json"}


def test_a_failed_run_leaves_nothing(log):
    OBJECTS["store://bucket/raw/log"] += b"1,2,3\n" * 100
    before = dict(OBJECTS)
    with pytest.raises(HlnError, match=r"first store://bucket/raw/log, line 5001: '1,2,3'"):
        prepare(["store://bucket/raw/log"], "store://bucket/data", CONFIG, WORK)
    assert before == OBJECTS


def test_other_objects_are_not_changed(log):
    with pytest.raises(HlnError, match="bucket/raw holds other files"):
        prepare(["store://bucket/raw/log"], "store://bucket/raw", CONFIG, WORK, overwrite=True)


def test_unknown_file_systems_and_missing_objects_are_named(log):
    with pytest.raises(HlnError, match="nimbus://b/log is in no file system that Beam can use"):
        prepare(["nimbus://b/log"], "store://bucket/data", CONFIG)
    with pytest.raises(HlnError, match="nimbus://b/data is in no file system that Beam can use"):
        prepare(["store://bucket/raw/log"], "nimbus://b/data", CONFIG)
    with pytest.raises(HlnError, match="store://bucket/none does not exist"):
        prepare(["store://bucket/none"], "store://bucket/data", CONFIG)


def test_equal_contents_are_compressed_to_equal_files(tmp_path):
    contents = []
    for name in ("a", "b"):
        with storage.create_file(str(tmp_path / name / "x"), str(tmp_path), True) as file:
            file.write(b"text")
        contents.append((tmp_path / name / "x").read_bytes())
    assert contents[0] == contents[1] and gzip.decompress(contents[0]) == b"text"
    storage.delete_unfinished(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
