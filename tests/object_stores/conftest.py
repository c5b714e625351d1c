import pytest
from object_store import bucket, running


@pytest.fixture(scope="session")
def server():
    with running() as server:
        yield server


@pytest.fixture
def store(server, tmp_path):
    """An empty bucket on the server."""
    with bucket(server, tmp_path / "cache"):
        yield server
