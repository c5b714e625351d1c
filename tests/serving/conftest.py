import dataclasses
import shutil
from pathlib import Path

import pytest
from served import Models, serve, wait_for
from session_lists import to_sessions
from small_hln import make_model
from toy import raw_id, write_dataset

from hln_tf import Recommender, train
from hln_tf.common import cli

ITEMS = 30
RUN = {"model": "hln", "data": {}, "settings": {}, "metrics": {}}
BATCHING = {"batched": (), "unbatched": ("--no-enable_batching",)}


@dataclasses.dataclass(frozen=True)
class Exported:
    """An export and what made it."""

    base: Path
    recommender: Recommender


@pytest.fixture(scope="session")
def versions(tmp_path_factory):
    """Half plus two as version 1, half plus three as version 2."""
    base = tmp_path_factory.mktemp("models") / "half_plus_two"
    Models(2.0).save(base / "1")
    Models(3.0).save(base / "2")
    return base


@pytest.fixture(scope="session")
def hln(tmp_path_factory):
    model = make_model(num_items=ITEMS)
    # The first items are the most popular.
    clicks = [[item] * (ITEMS - item + 1) for item in range(1, ITEMS + 1)]
    model.fit_counts(to_sessions(clicks))
    recommender = Recommender(model, [raw_id(item + 1) for item in range(ITEMS)], 50, " ")
    base = tmp_path_factory.mktemp("models") / "hln"
    recommender.export(base, RUN)
    return Exported(base, recommender)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """The run directory of a model that counts transitions."""
    root = tmp_path_factory.mktemp("serving")
    sessions = [[1, 2, 3], [2, 3, 4], [3, 4, 1]]
    write_dataset(
        root / "data", {"train": sessions, "validation": sessions, "test": sessions}, num_items=4
    )
    arguments = ["--dataset", "sample", "--data_dir", str(root / "data"), "--model", "markov"]
    assert cli.run(train.main, [*arguments, "--workdir", str(root / "run")]) == 0
    return root / "run"


@pytest.fixture(scope="session")
def servers(versions, hln, tmp_path_factory):
    """All servers that tests share, started at the same time."""
    logs = tmp_path_factory.mktemp("logs")
    shared = {}
    for kind, flags in BATCHING.items():
        shared["half_plus_two", kind] = serve(
            versions,
            logs / f"half_plus_two_{kind}.log",
            *("--version_labels", "stable=1", "canary=2"),
            *("--read_timeout", "2", "--write_timeout", "2"),
            *("--max_request_bytes", str(2**20)),
            *flags,
        )
        shared["hln", kind] = serve(hln.base, logs / f"hln_{kind}.log", *flags, name="hln")
    try:
        for server in shared.values():
            wait_for(server.is_ready, "server")
        yield shared
    finally:
        codes = [server.stop() for server in shared.values()]
    assert codes == [0] * len(codes)


@pytest.fixture(params=BATCHING)
def half_plus_two(request, servers):
    return servers["half_plus_two", request.param]


@pytest.fixture(params=BATCHING)
def hln_server(request, servers):
    return servers["hln", request.param]


@pytest.fixture
def server(servers):
    """One server, where batching makes no difference."""
    return servers["half_plus_two", "batched"]


@pytest.fixture
def base(versions, tmp_path):
    """A model directory of one's own, with version 1."""
    directory = tmp_path / "half_plus_two"
    shutil.copytree(versions / "1", directory / "1")
    return directory
