"""The page at `/`: its files, and the routes that it needs in addition to the REST API.

```
GET /page/model           name, version, signatures and model card of the model
GET /page/items?q=text    known items whose ids contain the text, most popular first
POST /page/known          for each id of a JSON list, whether the model knows it
```
"""

import asyncio
import dataclasses
import itertools
import json
import weakref
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson
import tensorflow as tf
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from hln_tf.export import ITEMS, MODEL_CARD
from serving.errors import invalid
from serving.json_requests import parse_json
from serving.models import Models
from serving.servable import Servable
from serving.threads import LARGE_BYTES, offload_if

FILES = Path(__file__).with_name("page")
EXTRA = "assets.extra"
MAX_SUGGESTIONS = 20

# The browser loads nothing from other hosts and runs no script but the page's own.
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


@dataclasses.dataclass(frozen=True)
class Extras:
    """Model card and item ids of an export; empty for a SavedModel of another origin.

    Attributes:
      card: The model card.
      items: Item ids that the model knows, most popular first.
      known: The same ids as a set.
    """

    card: dict[str, Any]
    items: list[str]
    known: frozenset[str]

    @classmethod
    def read(cls, version: str) -> "Extras":
        """Read the files in a version's directory."""
        try:
            card = json.loads(_read(f"{version}/{EXTRA}/{MODEL_CARD}"))
            items = _read(f"{version}/{EXTRA}/{ITEMS}").decode("utf-8").split("\n")[:-1]
        except (tf.errors.OpError, ValueError):
            card, items = {}, []
        return cls(card, items, frozenset(items))

    def search(self, text: str) -> list[str]:
        """Return items whose ids start with the text, then those that contain it."""
        starting = (item for item in self.items if item.startswith(text))
        containing = (item for item in self.items if text in item and not item.startswith(text))
        return list(itertools.islice(itertools.chain(starting, containing), MAX_SUGGESTIONS))


def page_routes(models: Models) -> list[BaseRoute]:
    """Create the routes of the page.

    Args:
      models: The models; the page shows the first one, or that of `?model=NAME`, in the
        version that requests get by default.
    """
    # By loaded version rather than by path, where another version may replace it.
    cache: weakref.WeakKeyDictionary[Servable, Extras] = weakref.WeakKeyDictionary()

    async def extras_of(servable: Servable) -> Extras:
        found = cache.get(servable)
        if found is None:
            found = await asyncio.to_thread(Extras.read, servable.path)
            # Without a card, it may yet arrive: a version may be copied file by file.
            if found.card:
                cache[servable] = found
        return found

    def using(request: Request) -> AbstractContextManager[Servable]:
        return models.using(request.query_params.get("model", models.names[0]), None, None)

    async def extras(request: Request) -> Extras:
        with using(request) as servable:
            return await extras_of(servable)

    async def index(request: Request) -> Response:
        return Response((FILES / "index.html").read_bytes(), 200, _HEADERS, "text/html")

    async def model(request: Request) -> Response:
        with using(request) as servable:
            found = await extras_of(servable)
            description = {
                "name": servable.name,
                "version": servable.version,
                "signatures": sorted(servable.signature_defs),
                "card": found.card,
                "models": models.names,
            }
        return _json(description)

    async def items(request: Request) -> Response:
        found = await extras(request)
        return _json(await asyncio.to_thread(found.search, request.query_params.get("q", "")))

    async def known(request: Request) -> Response:
        body = await request.body()
        ids = await offload_if(len(body) > LARGE_BYTES, lambda: parse_json(body))
        if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
            raise invalid('The body is no list of item ids, expected JSON such as ["a", "b"]')
        found = await extras(request)
        return _json([item in found.known for item in ids])

    return [
        Route("/", index),
        Route("/page/model", model),
        Route("/page/items", items),
        Route("/page/known", known, methods=["POST"]),
        Mount("/page", _Files(directory=FILES)),
    ]


class _Files(StaticFiles):
    """The page's files with their headers."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Add the headers to the response of `StaticFiles`."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(_HEADERS)
        return response


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), 200, _HEADERS, "application/json")


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    return content
