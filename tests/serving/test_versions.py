"""The versions of a model, with a Python function that loads them."""

import asyncio
import itertools
import json
import types

import pytest

from serving import versions
from serving.errors import Code, ServingError
from serving.log import Log
from serving.metrics import Metrics
from serving.settings import ModelSettings
from serving.versions import State, Versions


class Clock:
    """The time, which only a test advances."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(versions, "time", made)
    return made


def failing(loads, message="no memory now"):
    def load(path, name, version):
        loads.append(version)
        raise ServingError(Code.RESOURCE_EXHAUSTED, message)

    return load


def test_a_failed_load_is_tried_again_for_ever_a_minute_apart_at_most(tmp_path, clock, capfd):
    (tmp_path / "1").mkdir()
    loads, times = [], []

    async def follow():
        made = Versions(ModelSettings(str(tmp_path)), failing(loads), Metrics(), Log("error"))
        for _ in range(600):
            await made.reconcile()
            if len(loads) > len(times):
                times.append(clock.now - 1000)
            clock.now += 1
        assert made.statuses(None, None)[1].state is State.END

    asyncio.run(follow())
    assert times[:7] == [0, 2, 6, 14, 30, 62, 122]
    assert {after - before for before, after in itertools.pairwise(times[5:])} == {60}
    # One line says what failed, and that it goes on.
    (line,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert line["event"] == "load_failed" and line["error"] == "no memory now"
    assert line["retry"].startswith("until it loads, 60 s apart at most")


@pytest.mark.parametrize("change", ["content", "permissions"])
def test_a_changed_version_is_loaded_at_once(tmp_path, clock, change):
    (tmp_path / "1").mkdir()
    file = tmp_path / "1" / "saved_model.pb"
    file.touch(0o200)
    loads = []

    async def follow():
        made = Versions(ModelSettings(str(tmp_path)), failing(loads), Metrics(), Log("error"))
        await made.reconcile()
        await made.reconcile()
        assert len(loads) == 1
        if change == "content":
            file.write_bytes(b"x")
        else:
            file.chmod(0o600)
        await made.reconcile()
        assert len(loads) == 2

    asyncio.run(follow())


def test_the_n_largest_versions_that_load_are_served(tmp_path, clock):
    for version in (1, 2, 3, 4):
        (tmp_path / str(version)).mkdir()

    def load(path, name, version):
        if version == 3:
            raise ServingError(Code.INTERNAL, "corrupt")
        return types.SimpleNamespace(
            version=version, closed=True, retire=lambda: None, name=name, path=path
        )

    async def follow():
        settings = ModelSettings(str(tmp_path), served_versions="latest:2")
        made = Versions(settings, load, Metrics(), Log("error"))
        await made.start()
        return {each: status.state for each, status in made.statuses(None, None).items()}

    assert asyncio.run(follow()) == {
        2: State.AVAILABLE,
        3: State.END,
        4: State.AVAILABLE,
    }
