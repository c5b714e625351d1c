"""The REST application when the server itself fails."""

import asyncio
import json
import logging
import types

from serving.metrics import Metrics
from serving.rest import RestApi
from serving.settings import ServerSettings


class Defective:
    """A predictor that raises an unexpected error."""

    def __init__(self):
        self.metrics = Metrics()
        self.versions = types.SimpleNamespace(using=lambda *where: 1 / 0)
        self.recorded = []

    def record(self, *what):
        self.recorded.append(what)


def test_an_unexpected_error_is_a_500_with_a_traceback_in_the_log(caplog, monkeypatch):
    sent = []
    # Libraries that other tests import in this process may have disabled loggers.
    logger = logging.getLogger("serving.rest")
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.ERROR, "serving.rest")

    async def receive():
        return {"type": "http.request", "body": b'{"instances": [1]}', "more_body": False}

    async def send(message):
        sent.append(message)

    predictor = Defective()
    scope = {"method": "POST", "raw_path": b"/v1/models/m:predict", "headers": []}
    asyncio.run(RestApi(predictor, ServerSettings())(scope, receive, send))
    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"]) == {"error": "Internal error, see the server's log"}
    assert "ZeroDivisionError" in caplog.text
    ((entrypoint, api, model, _, error),) = predictor.recorded
    assert (entrypoint, api, model, error.code.name) == ("REST", "Predict", "m", "INTERNAL")
