"""Equality of the data sets, byte by byte, that different runners write."""

import concurrent.futures
import json

import pytest
from commands import digests

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.generate import LogSettings, generate
from hln_tf.common.errors import HlnError, UsageError

CONFIG = Settings(train_fraction="1/2", validation_fraction="0.2")
WORK = Work(workers=2, partitions=3, block_bytes=200_000)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Generate a log of several blocks, and digests of its data set from one thread."""
    directory = tmp_path_factory.mktemp("runners")
    generate(LogSettings(output=str(directory / "log"), clicks=20_000))
    prepare([directory / "log"], directory / "data", CONFIG, Work(workers=1, partitions=1))
    return directory / "log", digests(directory / "data")


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param([], id="threads"),
        pytest.param(
            ["--direct_running_mode", "multi_processing", "--direct_num_workers", "2"],
            id="processes",
        ),
        pytest.param(["--direct_running_mode", "multi_threading"], id="threads by gRPC"),
        pytest.param(["--runner", "BundleBasedDirectRunner"], id="another runner"),
    ],
)
def test_same_bytes(log, tmp_path, flags):
    path, expected = log
    prepare([path], tmp_path / "data", CONFIG, WORK, flags)
    assert digests(tmp_path / "data") == expected
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
    assert not [entry.name for entry in (tmp_path / "data").iterdir() if entry.name[0] == "."]


def test_unknown_runner(log, tmp_path):
    with pytest.raises(UsageError, match="'Nimbus' is not a runner that Beam has"):
        prepare([log[0]], tmp_path / "data", CONFIG, WORK, ["--runner", "Nimbus"])


def test_clicks_that_a_runner_loses_are_noticed(log, tmp_path, monkeypatch):
    from beam_preprocess import filter_items

    merge = filter_items.merge_partition

    def lossy(pieces):
        return merge(list(pieces)[1:])

    monkeypatch.setattr(filter_items, "merge_partition", lossy)
    with pytest.raises(HlnError, match=r"handed on [\d,]+ of 20,000 clicks to group: run the same"):
        prepare([log[0]], tmp_path / "data", CONFIG, WORK)
    assert not (tmp_path / "data").exists()


def test_sessions_that_a_runner_repeats_are_noticed(log, tmp_path, monkeypatch):
    from beam_preprocess import write_dataset

    concatenate = write_dataset.concatenate
    monkeypatch.setattr(write_dataset, "concatenate", lambda parts: concatenate([*parts, parts[0]]))
    with pytest.raises(HlnError, match=r"handed on [\d,]+ of [\d,]+ train examples to write"):
        prepare([log[0]], tmp_path / "data", Settings(), WORK)


def test_counters_of_the_pipeline(log, tmp_path, caplog):
    with caplog.at_level("INFO", "beam_preprocess"):
        prepare([log[0]], tmp_path / "data", CONFIG, WORK)
    records = [record for record in caplog.records if record.name == "beam_preprocess.runners"]
    counters = dict(record.getMessage().split(": ") for record in records)
    stats = json.loads((tmp_path / "data" / "stats.json").read_text())
    assert counters.pop("rows") == "20,000"
    assert counters.pop("malformed_rows") == "0"
    del stats["clicks_left"]["read"]
    assert counters == {
        f"clicks_{name.replace(' ', '_')}": f"{clicks:,}"
        for name, clicks in stats["clicks_left"].items()
    }


@pytest.mark.slow
def test_several_runs_in_one_process_do_not_disturb_each_other(log, tmp_path):
    path, expected = log
    with concurrent.futures.ThreadPoolExecutor() as executor:
        runs = [executor.submit(prepare, [path], tmp_path / str(n), CONFIG, WORK) for n in range(3)]
        manifests = [run.result() for run in runs]
    assert manifests[0] == manifests[1] == manifests[2]
    assert [digests(tmp_path / str(n)) for n in range(3)] == [expected] * 3
