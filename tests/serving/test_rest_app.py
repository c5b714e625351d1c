"""What the REST application does where the server itself is at fault."""

import asyncio
import json
import logging
import types

from serving.metrics import Metrics
from serving.rest import RestApi
from serving.settings import ServerSettings


class Defective:
    """A predictor whose model is out of order."""

    def __init__(self):
        self.metrics = Metrics()
        self.versions = types.SimpleNamespace(using=lambda *where: 1 / 0)
        self.recorded = []

    def record(self, *what):
        self.recorded.append(what)


def test_a_defect_is_a_500_with_its_traceback_in_the_log(caplog, monkeypatch):
    sent = []
    # Libraries that other tests run in this process may have switched loggers off.
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
