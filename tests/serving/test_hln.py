"""HLN as served: every signature over both transports, against Python."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from commands import run
from toy import raw_id

import serving
from hln_tf.common.errors import UsageError
from serving import ServerError

SESSIONS = ["i1 i4", "i2 unknown i5 i8", "unknown", "", "i3 " * 60]
SPLIT = [[item for item in session.split(" ") if item] for session in SESSIONS]


@pytest.fixture(scope="module")
def expected(hln):
    return hln.recommender.recommend(SPLIT, 5)


@pytest.fixture(params=["rest", "grpc"])
def client(request, hln_server):
    url = {
        "rest": f"http://127.0.0.1:{hln_server.rest}/v1/models/hln",
        "grpc": f"grpc://127.0.0.1:{hln_server.grpc}/hln",
    }
    with serving.Client(url[request.param], timeout=60) as client:
        yield client


def test_recommendations_equal_those_of_python(client, expected):
    for answer, other in zip(client.recommend(SESSIONS, k=5), expected, strict=True):
        assert [item for item, _ in answer.items] == [item for item, _ in other.items]
        scores = [score for _, score in other.items]
        np.testing.assert_allclose([score for _, score in answer.items], scores, rtol=1e-4)
        assert answer.is_fallback == other.is_fallback


def test_every_signature_equals_python(client, hln, expected):
    best = np.array([[item for item, _ in answer.items] for answer in expected])
    scores = np.array([[score for _, score in answer.items] for answer in expected])
    longest = max(map(len, SPLIT))
    padded = [session + [""] * (longest - len(session)) for session in SPLIT]
    for outputs in (
        client.predict("sessions", {"sessions": SESSIONS}),
        client.predict("serving_default", {"items": padded}),
    ):
        assert outputs["item_ids"][:, :5].tolist() == best.tolist()
        np.testing.assert_allclose(outputs["scores"][:, :5], scores, rtol=1e-4)
    queries = hln.recommender.embed(SPLIT)
    np.testing.assert_allclose(client.embed(SESSIONS), queries, rtol=1e-4, atol=1e-5)
    assert client.embed(SESSIONS).dtype == np.float32
    assert not set(i for i, _ in client.recommend(["i1 i4"], 5, True)[0].items) & {"i1", "i4"}
    # A session without a known click has no groups to explain.
    for answer, other in zip(
        client.explain(SESSIONS)[:2], hln.recommender.explain(SPLIT)[:2], strict=True
    ):
        assert answer.clicks == other.clicks
        np.testing.assert_allclose(answer.retention, other.retention, rtol=1e-4)
        for pairs, others in zip(answer.groups, other.groups, strict=True):
            assert [item for item, _ in pairs[:5]] == [item for item, _ in others[:5]]


def same(answers, expected):
    """Check that two lists of named tuples are equal, scores up to rounding."""
    assert [type(each) for each in answers] == [type(each) for each in expected]
    for answer, other in zip(answers, expected, strict=True):
        for pairs, others in zip(
            getattr(answer, "groups", [getattr(answer, "items", [])]),
            getattr(other, "groups", [getattr(other, "items", [])]),
            strict=True,
        ):
            assert [item for item, _ in pairs] == [item for item, _ in others]
            np.testing.assert_allclose(
                [score for _, score in pairs], [score for _, score in others], rtol=1e-4
            )
        assert answer.is_fallback == other.is_fallback


def test_client_and_recommender_take_the_same_sessions(servers, hln):
    url = f"grpc://127.0.0.1:{servers['hln', 'batched'].grpc}/hln"
    lists = [["i1", "i4"], ["i2", "unknown", "i5", "i8"], ["i3"]]
    forms = (
        lists,
        [" ".join(each) for each in lists],
        ["i1 i4", *map(tuple, lists[1:])],
        pd.Series([np.array(each) for each in lists]),
    )
    recommender = hln.recommender
    with serving.Client(url, timeout=60) as client:
        for sessions in forms:
            same(client.recommend(sessions, k=4), recommender.recommend(sessions, k=4))
            same(
                client.recommend(sessions, 3, exclude_seen=True),
                recommender.recommend(sessions, 3, exclude_seen=True),
            )
            same(client.explain(sessions, k=2), recommender.explain(sessions, k=2))
            np.testing.assert_allclose(
                client.embed(sessions), recommender.embed(sessions), rtol=1e-4, atol=1e-5
            )
        same(client.recommend("i1 i4", k=2), recommender.recommend("i1 i4", k=2))
        assert client.recommend([]) == recommender.recommend([]) == []
        assert client.explain([]) == recommender.explain([]) == []
        for wrong in (["i1", "i2"], [1, 2], None, [["i1", None]], {"i1": 1}):
            with pytest.raises(UsageError) as mine:
                client.recommend(wrong)
            with pytest.raises(UsageError) as other:
                recommender.recommend(wrong)
            assert str(mine.value) == str(other.value)
        with pytest.raises(UsageError, match="`k` is 0, expected"):
            client.explain(lists, k=0)
        with pytest.raises(UsageError, match="the item id 'i1 i4' contains the separator ' '"):
            client.recommend([["i1 i4", "i2"]])


def test_a_client_joins_ids_by_its_separator(servers, hln):
    url = f"http://127.0.0.1:{servers['hln', 'batched'].rest}/v1/models/hln"
    with serving.Client(url, timeout=60, separator="|") as client:
        # The model splits at spaces.
        same(client.recommend([["i2 i5"]]), hln.recommender.recommend([["i2", "i5"]]))
        same(client.recommend([["i2", "i5"]]), hln.recommender.recommend([["i2|i5"]]))
    with pytest.raises(UsageError, match="`separator` is ''"):
        serving.Client(url, separator="")


def test_both_transports_give_equal_results(hln_server):
    results = []
    for url in (
        f"http://127.0.0.1:{hln_server.rest}/v1/models/hln",
        f"grpc://127.0.0.1:{hln_server.grpc}/hln",
    ):
        with serving.Client(url, timeout=60) as client:
            outputs = client.predict("explain", {"sessions": SESSIONS[:2]})
            results.append((client.status(), client.signatures(), outputs))
    (status, signatures, rest), (other_status, other_signatures, grpc) = results
    assert status == other_status and status[0]["state"] == "AVAILABLE"
    assert signatures == other_signatures
    for name, array in rest.items():
        assert array.dtype == grpc[name].dtype
        np.testing.assert_array_equal(array, grpc[name])


def test_clients_name_what_is_wrong(client, hln):
    with pytest.raises(UsageError, match=r"`k` is 101, which .* expected at least 1 and at most"):
        client.recommend([["i1"]], k=101)
    with pytest.raises(UsageError, match=r"the item id .* is no text, expected UTF-8"):
        client.recommend([["\ud800"]])
    with pytest.raises(ServerError, match="'sessions' does not fit the type DT_STRING"):
        client.predict("sessions", {"sessions": ["\ud800"]})
    empty = client.embed([])
    assert empty.shape == (0, hln.recommender.embed(["i1"]).shape[1])
    assert empty.dtype == np.float32


def test_a_response_has_as_many_columns_as_the_largest_k(hln_server):
    inputs = {"sessions": ["i1", "i2"], "k": [2, 1], "exclude_seen": [False, False]}
    status, answer = hln_server.predict({"inputs": inputs, "signature_name": "sessions_k"})
    assert status == 200
    assert [[bool(item) for item in row] for row in answer["outputs"]["item_ids"]] == [
        [True, True],
        [True, False],
    ]


def test_an_invalid_k_fails_its_own_request_only(hln_server):
    """Even if it merges with other requests."""

    def ask(k):
        inputs = {"sessions": ["i1"], "k": [k], "exclude_seen": [False]}
        return k, *hln_server.predict({"inputs": inputs, "signature_name": "sessions_k"})

    with ThreadPoolExecutor(17) as threads:
        answers = list(threads.map(ask, [*[3] * 8, 1_000_000, *[3] * 8]))
    for k, status, answer in answers:
        if k == 3:
            assert status == 200, answer
            assert len([item for item in answer["outputs"]["item_ids"][0] if item]) == 3
        else:
            assert status == 400 and "k is out of bounds" in answer["error"]


def test_the_client_refuses_inputs_of_another_type(client):
    with pytest.raises(ServerError, match="'k' does not fit the type DT_INT32"):
        client.recommend(["i1"], k=2**40)
    with pytest.raises(ServerError, match="takes sessions, not session"):
        client.predict("sessions", {"session": ["i1"]})
    row = {"sessions": ["i1"], "k": [2.9], "exclude_seen": [False]}
    with pytest.raises(ServerError, match="'k' does not fit the type DT_INT32"):
        client.predict("sessions_k", row)
    for wrong in ([1], [["i1"], ["i2", "i3"]]):
        with pytest.raises(ServerError, match="'sessions' does not fit the type DT_STRING"):
            client.predict("sessions", {"sessions": wrong})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"instances": ["a", "b"]}, 400),  # serving_default wants [batch, time]
        ({"instances": [[["a"]]]}, 400),
        ({"instances": [1]}, 400),
        ({"inputs": [[]]}, 200),  # one session without clicks
        ({"inputs": []}, 400),
        ({"instances": [["a"], ["b", "c"]]}, 400),
        ({"inputs": "a", "signature_name": "sessions"}, 400),
        ({"inputs": [["a"]], "signature_name": "explain"}, 400),
        ({"instances": ["a"], "signature_name": "sessions_k"}, 400),
        (
            {
                "inputs": {"sessions": ["a", "b"], "k": [1], "exclude_seen": [True, False, True]},
                "signature_name": "sessions_k",
            },
            400,
        ),
    ],
)
def test_invalid_inputs_of_hln_are_client_errors(hln_server, body, expected):
    status, answer = hln_server.predict(body)
    assert status == expected and len(answer) == 1
    assert ("error" in answer) == (status == 400)
    good = {"instances": ["i1"], "signature_name": "sessions"}
    assert hln_server.predict(good)[0] == 200


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_outputs_of_bytes_remain_bytes(servers, scheme):
    server = servers["half_plus_two", "batched"]
    port = {"http": server.rest, "grpc": server.grpc}[scheme]
    path = {"http": "/v1/models/half_plus_two", "grpc": "/half_plus_two"}[scheme]
    with serving.Client(f"{scheme}://127.0.0.1:{port}{path}", timeout=60) as client:
        outputs = client.predict("text", {"word": ["é"], "times": [2]})
    assert outputs["text"].tolist() == ["éx2"]
    assert outputs["text_bytes"].tolist() == ["éx2".encode()]


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_an_unnamed_session_may_be_base64(hln_server, key):
    answers = [
        hln_server.predict({key: [session], "signature_name": "sessions"})
        for session in ("i1 i4", {"b64": "aTEgaTQ="})
    ]
    assert answers[0] == answers[1] and answers[0][0] == 200


def test_query(servers):
    server = servers["hln", "batched"]
    url = f"http://127.0.0.1:{server.rest}/v1/models/hln"
    arguments = ("--url", url, "--session", "i1 i4", "-k", "3")
    rows = run("serving.query", *arguments).out.splitlines()
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    unseen = run("serving.query", *arguments, "--exclude_seen").out
    assert not {"i1", "i4"} & {row.split()[1] for row in unseen.splitlines()}
    explained = run("serving.query", *arguments, "--explain").out
    assert "group 2: retention of each click" in explained and raw_id(4) in explained
    # A line break at the end is no part of the last click; inside, it is an error.
    assert run("serving.query", *arguments[:2], "--session", "i1 i4\n", "-k", "3").out == (
        run("serving.query", *arguments).out
    )
    broken = run("serving.query", "--url", url, "--session", "i1\ni4")
    assert "expected one line of item ids" in broken.sentence(2)
    counted = run("serving.query", "--url", url, "--session", "i1 x i4 y")
    assert "2 of 4 clicks are not used, the first is 'x'" in counted.err
    beyond = run("serving.query", "--url", url, "--session", "i1", "-k", "1000")
    assert "-k is 1000, which the model" in beyond.sentence(2)
    popular = run("serving.query", "--url", url, "--session", "unknown")
    assert "most popular" in popular.err and popular.code == 0


def test_query_over_rest_imports_no_tensorflow(servers):
    url = f"http://127.0.0.1:{servers['hln', 'batched'].rest}/v1/models/hln"
    code = (
        "import sys, serving\n"
        f"print(serving.Client({url!r}).recommend(['i1'], 2))\n"
        "assert 'tensorflow' not in sys.modules and 'grpc' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/v1/models/hln", "no server can be reached at http://127.0.0.1:1"),
        ("grpc://127.0.0.1:1/hln", "no server can be reached at 127.0.0.1:1"),
        ("http://127.0.0.1:{rest}/v1/models/x", "Servable not found for request: Latest(x)"),
        ("grpc://127.0.0.1:{grpc}/x", "Servable not found for request: Latest(x)"),
        ("http://127.0.0.1:{rest}/v1/models/hln/versions/9", "Specific(hln, 9)"),
        ("grpc://127.0.0.1:{grpc}/hln/labels/foo", "Unrecognized servable version label: foo"),
        ("http://127.0.0.1:{other}/v1/models/half_plus_two", "has no signature 'sessions_k'"),
    ],
)
def test_queries_that_fail(servers, url, message):
    server, other = servers["hln", "batched"], servers["half_plus_two", "batched"]
    url = url.format(rest=server.rest, grpc=server.grpc, other=other.rest)
    assert message in run("serving.query", "--url", url, "--session", "i1").sentence()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--url", "ftp://x/y"), "--url is 'ftp://x/y', expected http://HOST:PORT"),
        (("--url", "http://x/v1/models/y", "-k", "0"), "-k is 0, expected at least 1"),
        (("--url", "http://x/v1/models/y", "--timeout", "0"), "--timeout is 0.0"),
        (("--url", "http://x/v1/models/y", "--explain", "--exclude_seen"), "exclude each other"),
    ],
)
def test_bad_flags_of_query(flags, message):
    assert message in run("serving.query", "--session", "i1", *flags).sentence(2)


def test_a_request_is_logged_as_one_line_of_json(servers):
    server = servers["hln", "batched"]
    server.predict({"instances": ["i1"], "signature_name": "sessions"})
    lines = server.log.read_text("utf-8").splitlines()
    own = [line for line in lines if not line.startswith("E0000 ")]  # those are TensorFlow's
    assert own
    for line in own:
        assert {"time", "level", "event"} <= json.loads(line).keys()
