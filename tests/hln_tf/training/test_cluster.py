import json

import pytest

from hln_tf.common.errors import UsageError
from hln_tf.training.cluster import Cluster

CLUSTER = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}


def read(config):
    return Cluster.from_environment({"TF_CONFIG": json.dumps(config)})


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}])
def test_without_a_cluster_the_process_is_alone(environment):
    cluster = Cluster.from_environment(environment)
    assert cluster == Cluster() and cluster.is_chief and not cluster.is_several


@pytest.mark.parametrize(
    ("task", "index", "place"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)]
)
def test_the_chief_comes_first(task, index, place):
    cluster = read({"cluster": CLUSTER, "task": {"type": task, "index": index}})
    assert cluster == Cluster(("a:1", "b:2", "c:3"), place)
    assert cluster.is_several and cluster.is_chief == (place == 0)


def test_without_a_chief_the_first_worker_is_it():
    cluster = {"worker": ["b:2", "c:3"]}
    first, second = (
        read({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in (0, 1)
    )
    assert first.is_chief and not second.is_chief
    assert first.workers == second.workers == ("b:2", "c:3")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[1]", "no attribute"),
        (json.dumps({"cluster": CLUSTER}), "'task' is missing"),
        (json.dumps({"cluster": CLUSTER, "task": {"type": "ps", "index": 0}}), "'ps'"),
        (json.dumps({"cluster": {"ps": ["a:1"]}}), "type 'ps' are not supported"),
        (json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}), "no task"),
        (json.dumps({"cluster": {"worker": [1]}, "task": {"type": "worker", "index": 0}}), "host"),
    ],
)
def test_what_is_wrong_is_named(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        Cluster.from_environment({"TF_CONFIG": text})
    assert text in str(caught.value) and "expected such as" in str(caught.value)
