"""The site of the documents builds without a warning, is whole, and needs no network."""

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import pytest
from browsers import SCREENSHOTS, chromium
from documents import ROOT

pytestmark = pytest.mark.slow

# Attributes by which a page loads something; those of `a` are for readers.
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
# Pages of each kind: prose, a notebook with pictures, the API, flags, equations, tables.
LOOKED_AT = (
    "index",
    "guides/logs",
    "tutorials/preference_groups",
    "reference/api/layers",
    "reference/commands",
    "reference/metrics",
    "explanation/hln",
    "results",
)


class Page(HTMLParser):
    """What a page of the site loads, where its links lead, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.anchors = [], [], set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag in LOADED and attributes.get(LOADED[tag]) and attributes.get("rel") != "canonical":
            self.loads.append(attributes[LOADED[tag]])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "WARNING" not in done.stderr, done.stderr[-4000:]
    return directory


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def is_remote(url):
    return bool(re.match(r"(https?:)?//", url))


def test_nothing_is_loaded_from_a_network(site, pages):
    assert len(pages) > 40
    found = [(path, url) for path, page in pages.items() for url in page.loads if is_remote(url)]
    for path in site.rglob("*.css"):
        found += [(path, url) for url in re.findall(r"url\(['\"]?([^)'\"]+)", path.read_text())]
    assert not [(path, url) for path, url in found if is_remote(url)]


def test_links_lead_to_pages_and_anchors(site, pages):
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its links are absolute, for any place
        here = "/" + path.relative_to(site).as_posix()
        for url in [*page.loads, *page.links]:
            parts = urlparse(urljoin(here, url))
            if parts.scheme or parts.netloc:
                continue
            target = site / unquote(parts.path).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else set()
            if not target.is_file() or (parts.fragment and parts.fragment not in known):
                broken.append(f"{here}: {url}")
    assert not broken, "\n".join(broken[:20])


def test_notebooks_show_their_outputs(pages, site):
    path = site / "tutorials" / "preference_groups.html"
    text = path.read_text("utf-8")
    pictures = [url for url in pages[path].loads if "preference_groups_" in url]
    assert len(pictures) == 2
    assert "<table>" in text and "group 1" in text


def test_docstrings_are_divided_into_their_sections(pages):
    for path in pages:
        if "api" in path.parts:
            text = path.read_text("utf-8")
            assert not re.findall(
                r"<p>(?:Args|Returns|Raises|Attributes):.*|&gt;&gt;&gt;.*<p>", text
            )


def test_settings_have_their_defaults(site):
    text = (site / "reference" / "api" / "models.html").read_text("utf-8")
    assert "setting(" not in re.sub("<[^>]+>", "", text)
    assert re.search(r"embedding_dim=\s*100", re.sub("<[^>]+>", "", text))
    assert "Size d of the item embeddings; at least 1" in text


def test_equations_are_mathml(site):
    for place in ("explanation/hln", "reference/metrics"):
        text = (site / f"{place}.html").read_text("utf-8")
        assert text.count("<math") > 10
        assert "klzzwxh" not in text and "$$" not in text and "\\mathrm" not in text


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_a_desk_and_a_phone_and_load_nothing_else(site, width):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    requests, errors = [], []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        for place in LOOKED_AT:
            page.goto(f"{base}{place}.html")
            page.wait_for_load_state("networkidle")
            assert page.locator("h1").first.is_visible()
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{place} is {wider} pixels wider than the window"
            if SCREENSHOTS:
                name = f"site-{place.replace('/', '-')}-{width}.png"
                page.screenshot(path=str(Path(SCREENSHOTS) / name))
    server.shutdown()
    assert not errors
    assert not [url for url in requests if not url.startswith((base, "data:", "blob:"))]
