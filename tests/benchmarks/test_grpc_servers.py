import pytest
from commands import run

from benchmarks.grpc_servers import SERVERS


@pytest.mark.slow
def test_every_kind_of_server_is_measured():
    outcome = run("benchmarks.grpc_servers", "--requests", "200", "--rounds", "1")
    assert outcome.code == 0, outcome.err
    rows = [line.strip("| ").split(" | ") for line in outcome.out.splitlines()[2:]]
    assert [row[0] for row in rows] == list(SERVERS)
    for _, micros, rate in rows:
        best, median = map(float, micros.split(" / "))
        assert 0 <= best <= median
        assert float(rate.replace(",", "")) > 0
