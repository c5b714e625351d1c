import pytest
from object_store import bucket, running


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture
def store(server):
    """An empty bucket on the server."""
    with bucket(server):
        yield server
