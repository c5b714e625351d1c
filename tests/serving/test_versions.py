"""The versions of a model, with a Python function that loads them."""

import asyncio
import os

import pytest

from serving import versions
from serving.errors import Code, ServingError
from serving.log import Log
from serving.metrics import Metrics
from serving.settings import ModelSettings
from serving.versions import State, Versions


@pytest.mark.parametrize("repaired", ["by itself", "by a change"])
def test_a_failed_load_is_retried(tmp_path, monkeypatch, repaired):
    monkeypatch.setattr(versions, "RETRY_SECONDS", 0.0 if repaired == "by itself" else 1e9)
    (tmp_path / "1").mkdir()
    loads = []

    def load(path, version):
        loads.append(version)
        raise ServingError(Code.RESOURCE_EXHAUSTED, "no memory now")

    async def follow():
        made = Versions(ModelSettings(str(tmp_path)), load, Metrics(), Log("error"))
        for _ in range(6):
            await made.reconcile()
        counts = [len(loads)]
        os.utime(tmp_path / "1", ns=(1, 1))
        await made.reconcile()
        counts.append(len(loads))
        assert made.statuses(made.name, None, None)[1].state is State.END
        return counts

    # The first attempt and three retries; a changed version is loaded at once.
    expected = [4, 5] if repaired == "by itself" else [1, 2]
    assert asyncio.run(follow()) == expected
