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
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from hln_tf.export import ITEMS, MODEL_CARD
from serving.servable import Servable
from serving.versions import Versions

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
    def read(cls, version: Path) -> "Extras":
        """Read the files in a version's directory."""
        try:
            card = json.loads((version / EXTRA / MODEL_CARD).read_text("utf-8"))
            items = (version / EXTRA / ITEMS).read_text("utf-8").split("\n")[:-1]
        except (OSError, ValueError):
            card, items = {}, []
        return cls(card, items, frozenset(items))

    def search(self, text: str) -> list[str]:
        """Return items whose ids start with the text, then those that contain it."""
        starting = (item for item in self.items if item.startswith(text))
        containing = (item for item in self.items if text in item and not item.startswith(text))
        return list(itertools.islice(itertools.chain(starting, containing), MAX_SUGGESTIONS))


def page_routes(versions: Versions) -> list[BaseRoute]:
    """Create the routes of the page.

    Args:
      versions: The model; the page shows the version that requests get by default.
    """
    # By loaded version rather than by path, where another version may replace it.
    cache: weakref.WeakKeyDictionary[Servable, Extras] = weakref.WeakKeyDictionary()

    async def extras_of(servable: Servable) -> Extras:
        if servable not in cache:
            cache[servable] = await asyncio.to_thread(Extras.read, servable.path)
        return cache[servable]

    async def extras() -> Extras:
        with versions.using(versions.name, None, None) as servable:
            return await extras_of(servable)

    async def index(request: Request) -> Response:
        return Response((FILES / "index.html").read_bytes(), 200, _HEADERS, "text/html")

    async def model(request: Request) -> Response:
        with versions.using(versions.name, None, None) as servable:
            version, signatures = servable.version, sorted(servable.signature_defs)
            card = (await extras_of(servable)).card
        return _json(
            {"name": versions.name, "version": version, "signatures": signatures, "card": card}
        )

    async def items(request: Request) -> Response:
        found = await extras()
        return _json(await asyncio.to_thread(found.search, request.query_params.get("q", "")))

    async def known(request: Request) -> Response:
        try:
            ids = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            ids = None
        if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
            return _json({"error": "Expected a JSON list of item ids"}, 400)
        found = await extras()
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


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, _HEADERS, "application/json")
