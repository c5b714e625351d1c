"""The REST application when the server itself fails."""

import asyncio
import json
import logging

from serving.gateway import Gateway
from serving.security import Guard, SecuritySettings

CLIENT = ("192.0.2.1", 4711)


def answer(app, recorded):
    """What a gateway sends for a request to an application."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b'{"instances": [1]}', "more_body": False}

    async def send(message):
        sent.append(message)

    guard = Guard(SecuritySettings(), "127.0.0.1")
    gateway = Gateway(app, guard, 1000, lambda *what: recorded.append(what))
    scope = {"path": "/v1/models/m:predict", "headers": [], "client": CLIENT}
    asyncio.run(gateway(scope, receive, send))
    return sent


def test_an_unexpected_error_is_a_500_with_a_traceback_in_the_log(caplog, monkeypatch):
    # Libraries that other tests import in this process may have disabled loggers.
    logger = logging.getLogger("serving.gateway")
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.ERROR, "serving.gateway")

    async def defective(scope, receive, send):
        scope["call"].api = "Predict"
        assert (await receive())["body"]
        raise ZeroDivisionError

    recorded = []
    start, body = answer(defective, recorded)
    assert start["status"] == 500
    assert json.loads(body["body"]) == {"error": "Internal error, see the server's log"}
    assert "ZeroDivisionError" in caplog.text
    ((entrypoint, call),) = recorded
    assert (entrypoint, call.api, call.error.code.name) == ("REST", "Predict", "INTERNAL")
    assert call.peer == "192.0.2.1:4711"


def test_an_error_after_the_start_of_a_response_sends_no_second_one():
    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    recorded = []
    (start,) = answer(half, recorded)
    assert start["status"] == 200 and recorded[0][1].error.code.name == "UNAVAILABLE"
