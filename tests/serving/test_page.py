"""The page in headless Chromium, against a server process of its own."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from browsers import SCREENSHOTS, chromium
from commands import ROOT
from served import serve, wait_for
from session_lists import to_sessions
from small_hln import make_model

from hln_tf.models.markov import Markov
from hln_tf.recommender import Recommender
from serving.page import Extras
from serving.servable import Servable

ITEMS = 60
IDS = [f"2145{1000 + 37 * item}" for item in range(ITEMS)]
MAX_LENGTH = 8
RUN = {
    "model": "hln",
    "data": {"dataset": "sample"},
    "counts": {"items": ITEMS},
    "metrics": {"test": {"recall@20": 0.683, "mrr@20": 0.4034}},
}
SERVED = ("hln", "markov")
PHONE, DESKTOP = {"width": 375, "height": 812}, {"width": 1280, "height": 900}


def fetch(url, body=None):
    with urllib.request.urlopen(url, body, timeout=30) as response:
        return json.loads(response.read())


def popular(count):
    """Sessions in which an item is the more popular the smaller its index."""
    return to_sessions([[item] * (count - item + 1) for item in range(1, count + 1)])


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Addresses of two servers by the model's name."""
    root = tmp_path_factory.mktemp("models")
    hln, markov = make_model(num_items=ITEMS, seed=2), Markov(3)
    hln.fit_counts(popular(ITEMS))
    markov.fit_counts(to_sessions([[1, 2, 3], [1, 2, 3], [3, 1]]))
    Recommender(hln, IDS, MAX_LENGTH, " ").export(root / "hln", RUN)
    item_ids = ["a b", "<b>bold</b>", "ü"]
    Recommender(markov, item_ids, MAX_LENGTH, "\t").export(root / "markov", {})
    servers = {name: serve(root / name, root / f"{name}.log", name=name) for name in SERVED}
    try:
        for server in servers.values():
            wait_for(server.is_ready, "server")
        yield {name: f"http://127.0.0.1:{server.rest}/" for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.stop()


@pytest.fixture
def groups(addresses):
    """Address of a model with preference groups."""
    return addresses["hln"]


@pytest.fixture
def counts(addresses):
    """Address of a model without preference groups."""
    return addresses["markov"]


# The routes


def test_items_are_found_by_any_part_of_their_ids_popular_ones_first(groups):
    found = fetch(groups + "page/items?q=")
    assert found == IDS[:20]
    part = IDS[5][-3:]
    assert fetch(groups + f"page/items?q={part}") == [item for item in IDS if part in item]
    assert fetch(groups + f"page/items?q={IDS[7]}") == [IDS[7]]
    assert fetch(groups + "page/items?q=none") == []
    # More than fits into an address.
    ids = [IDS[3], "none", "", *IDS] * 200
    answer = fetch(groups + "page/known", json.dumps(ids).encode())
    assert answer == [True, False, False, *[True] * ITEMS] * 200
    with pytest.raises(urllib.error.HTTPError, match="400"):
        fetch(groups + "page/known", b"{")


@pytest.mark.slow
def test_any_id_that_preprocessing_takes_survives_every_file_of_an_export(tmp_path):
    item_ids = ["a\r", "\rb\u2028\x85", "c d"]
    model = Markov(3)
    model.fit_counts(to_sessions([[1, 2, 3], [1, 2], [1]]))
    Recommender(model, item_ids, MAX_LENGTH, "\t").export(tmp_path / "m", RUN)
    assert Extras.read(f"{tmp_path}/m/1").items == item_ids
    signature = Servable(f"{tmp_path}/m/1", "m", 1).signature("sessions_k")
    inputs = {
        "sessions": np.array(["\t".join(item_ids).encode()], object),
        "k": np.int32([3]),
        "exclude_seen": np.array([False]),
    }
    outputs = signature.run(inputs)
    assert not outputs["is_fallback"][0]
    assert sorted(item.decode() for item in outputs["item_ids"][0]) == sorted(item_ids)


def test_the_page_gets_a_description_of_the_model(groups, counts):
    model = fetch(groups + "page/model")
    assert (model["name"], model["version"]) == ("hln", 1) and "explain" in model["signatures"]
    assert model["card"]["metrics"] == RUN["metrics"]
    assert "explain" not in fetch(counts + "page/model")["signatures"]


def test_nothing_is_loaded_from_other_hosts(groups):
    names = ["", *(f"page/{path.name}" for path in (ROOT / "serving" / "page").iterdir())]
    assert len(names) > 4
    for name in names:
        with urllib.request.urlopen(groups + name, timeout=30) as response:
            assert "default-src 'self'" in response.headers["content-security-policy"]
            assert "://" not in response.read().decode()


# In the browser


@pytest.fixture(scope="module")
def browser():
    with chromium("--disable-gpu") as browser:
        yield browser


@pytest.fixture
def problems():
    """Errors that the browser logs, and requests to other hosts; none at the end of a test."""
    found = []
    yield found
    assert not found


@pytest.fixture
def open_page(browser, problems):
    """Open the page; `model` replaces the server's first description of the model."""
    contexts = []

    def opened(url, viewport=DESKTOP, model=None, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: line.type == "error" and problems.append(line.text))
        host = url.split("#")[0]
        page.on("request", lambda r: r.url.startswith(host) or problems.append(r.url))
        if model:
            page.route("**/page/model", lambda route: route.fulfill(json=model), times=1)
        page.goto(url)
        page.wait_for_selector("#top li, #problem:visible")
        return page

    yield opened
    for context in contexts:
        context.close()


def clicks(page):
    return page.locator("#clicks .id").all_inner_texts()


def top(page):
    return page.locator("#top .pick").all_inner_texts()


def wait_for_clicks(page, count):
    page.wait_for_function(
        "count => document.querySelectorAll('#clicks tbody tr').length === count", arg=count
    )


def wait_for_top(page, items):
    page.wait_for_function(
        """items => [...document.querySelectorAll('#top .pick')]
            .map(pick => pick.innerText).join() === items.join()""",
        arg=items,
    )


def predicted(url, signature, inputs):
    body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
    name = fetch(url + "page/model")["name"]
    request = urllib.request.Request(f"{url}v1/models/{name}:predict", body)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())["outputs"]


def assert_nothing_is_clipped(page):
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clipped = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, td, th, li, p, h1, h2, h3')]
            .filter(e => e.offsetParent && (e.scrollWidth > e.clientWidth + 1 && e.clientWidth
              || e.getBoundingClientRect().right > innerWidth + 1))
            .map(e => e.outerHTML)"""
    )
    assert clipped == []


def screenshot(page, name):
    if SCREENSHOTS:
        page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)


def test_a_session_is_entered_by_keyboard_and_by_clicks(groups, open_page):
    page = open_page(groups)
    assert page.title() == "hln, version 1" and "Recall@20 68.3 %" in page.inner_text("#facts")
    assert top(page) == IDS[:10]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "item"
    page.keyboard.type(IDS[5][-3:])
    page.wait_for_selector("#suggestions li")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for_clicks(page, 1)
    page.keyboard.type(f"{IDS[9]} nowhere  {IDS[11]}")
    page.keyboard.press("Enter")
    wait_for_clicks(page, 4)
    page.locator("#top .pick").first.click()
    wait_for_clicks(page, 5)
    texts = clicks(page)
    assert IDS[5] in texts[0] and "unknown, skipped" in texts[2]
    page.get_by_label("Remove click 3, nowhere").click()
    wait_for_clicks(page, 4)
    page.reload()
    wait_for_clicks(page, 4)
    assert all(item in text for item, text in zip(IDS[5:10:4], clicks(page)[:2], strict=True))
    page.click("#clear")
    wait_for_clicks(page, 0)
    assert page.url == groups


def test_the_page_shows_recommendations_and_explanations(groups, open_page):
    session = [IDS[item] for item in (2, 17, 30, 45, 51)]
    page = open_page(f"{groups}#{'%20'.join(session)}")
    wait_for_clicks(page, 5)
    page.select_option("#k", "20")
    page.check("#unseen")
    inputs = {"sessions": [" ".join(session)]}
    expected = predicted(groups, "sessions_k", {**inputs, "k": [20], "exclude_seen": [True]})
    wait_for_top(page, expected["item_ids"][0][:20])
    explained = predicted(groups, "explain", inputs)
    retention = [
        [f"{100 * group[click]:.1f} %" for group in explained["retention"][0]] for click in range(5)
    ]
    shown = [
        row.locator(".retention").all_inner_texts()
        for row in page.locator("#clicks tbody tr").all()
    ]
    assert [[cell.strip() for cell in row] for row in shown] == retention
    # The mark of a click names the group with the highest retention by letter, not only by colour.
    marks = page.locator("#clicks .id .mark").all_inner_texts()
    by_click = list(zip(*explained["retention"][0], strict=True))[:5]
    assert marks == [
        "ABC"[group.index(max(group))] if max(group) - min(group) >= 0.01 else "="
        for group in by_click
    ]
    assert len(set(marks)) > 1
    # Equal lists are shown once.
    lists = [[item for item in items[:5] if item] for items in explained["group_item_ids"][0]]
    distinct = list(dict.fromkeys(map(tuple, lists)))
    blocks = page.locator("#nearest > div").all()
    assert [tuple(block.locator(".pick").all_inner_texts()) for block in blocks] == distinct
    # Each group says by number which clicks it retains, and which it leaps over.
    reads = sorted(page.locator(".reads").all_inner_texts())
    assert reads == [
        reading("ABC"[group], [p >= 0.5 for p in row[:5]])
        for group, row in enumerate(explained["retention"][0])
    ]
    assert "for one interest of the visitor" in page.inner_text("#groups")
    assert page.locator(".heads").first.inner_text().split() == ["Item", "Score"]
    assert_nothing_is_clipped(page)
    screenshot(page, "desktop")


def reading(letter, retained):
    """The sentence of a group, for whether it retains each click."""

    def clicks(which):
        numbers = [str(n) for n, each in enumerate(retained, 1) if each == which]
        return f"click{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else ""

    if not any(retained):
        return f"{letter} retains no click of this session, leaps over {clicks(False)}"
    return f"{letter} retains {clicks(True)}, leaps over {clicks(False) or 'none'}"


def test_an_example_session_to_start_from(groups, open_page):
    page = open_page(groups)
    page.click("#example")
    wait_for_clicks(page, 4)
    assert all(item in text for item, text in zip(IDS[3::-1], clicks(page), strict=True))
    assert not page.is_visible("#example")


def test_groups_with_equal_lists_agree(groups, open_page):
    page = open_page(groups)

    def agree(route):
        response = route.fetch()
        answer = response.json()
        outputs = answer["outputs"]
        for name in ("group_item_ids", "group_scores") if "group_item_ids" in outputs else ():
            first = outputs[name][0][0]
            outputs[name] = [[first, first, first]]
        if "retention" in outputs:
            outputs["is_fallback"] = [False]
            outputs["retention"] = [[[1.0] * 8, [0.2] + [1.0] * 7, [0.0] * 8]]
        route.fulfill(response=response, json=answer)

    page.route("**/v1/**", agree)
    page.click("#example")
    wait_for_clicks(page, 4)
    page.wait_for_selector("#nearest h3")
    assert "The groups agree" in page.inner_text("#nearest h3")
    assert page.locator("#nearest ol").count() == 1
    assert page.locator(".reads").all_inner_texts() == [
        "A retains clicks 1, 2, 3, 4, leaps over none",
        "B retains clicks 2, 3, 4, leaps over click 1",
        "C retains no click of this session, leaps over clicks 1, 2, 3, 4",
    ]
    for name, viewport in (("agree-desk", DESKTOP), ("agree-phone", PHONE)):
        page.set_viewport_size(viewport)
        assert_nothing_is_clipped(page)
        screenshot(page, name)


def test_the_page_fits_a_phone_and_has_a_dark_scheme(groups, open_page):
    session = [IDS[item] for item in (2, 17, 30, 45, 51, 3, 4, 5, 6)] + ["unknown-item"]
    page = open_page(f"{groups}#{'%20'.join(session)}", PHONE, color_scheme="dark")
    wait_for_clicks(page, 10)
    assert "older than the last 8, not used" in clicks(page)[0]
    assert_nothing_is_clipped(page)
    screenshot(page, "phone-dark")
    page.emulate_media(color_scheme="light")
    screenshot(page, "phone-light")
    page.fill("#item", "2145")
    page.wait_for_selector("#suggestions li")
    assert_nothing_is_clipped(page)
    screenshot(page, "phone-search")


def test_a_model_without_preference_groups(counts, open_page):
    page = open_page(counts)
    page.fill("#item", "a b\tgone")
    page.keyboard.press("Enter")
    wait_for_clicks(page, 2)
    page.wait_for_function("document.querySelector('#top .pick').innerText === '<b>bold</b>'")
    assert [text.split("\n")[0] for text in clicks(page)] == ["a b", "gone"]
    assert not page.is_visible("#groups") and page.locator(".retention").count() == 0
    page.click("#clear")
    page.fill("#item", "gone")
    page.keyboard.press("Enter")
    page.wait_for_selector("#fallback:visible")
    assert "No click is a known item" in page.inner_text("#fallback")
    screenshot(page, "markov")


def test_a_model_of_another_origin_is_reported(counts, open_page):
    model = {"name": "x", "version": 1, "signatures": ["serving_default"], "card": {}}
    page = open_page(counts, model=model)
    assert "was not written by python -m serving.export" in page.inner_text("#problem")
    assert not page.is_visible("section")


def test_a_refused_request_is_reported(groups, open_page, problems):
    page = open_page(groups)
    page.route("**/v1/**", lambda route: route.fulfill(status=429, body='{"error": "full"}'))
    page.locator("#top .pick").first.click()
    page.wait_for_selector("#problem:visible")
    assert page.inner_text("#problem") == "full"
    page.unroute("**/v1/**")
    page.locator("#top .pick").first.click()
    page.wait_for_selector("#problem", state="hidden")
    problems.clear()  # The browser logs the refusal too.


def test_the_page_follows_another_version(groups, open_page, problems):
    model = fetch(groups + "page/model")
    gone = {**model, "version": 7, "card": {"serving": {**model["card"]["serving"], "k_max": 3}}}
    page = open_page(f"{groups}#{IDS[3]}", model=gone)
    assert page.title() == "hln, version 1"
    assert len(clicks(page)) == 1 and IDS[3] in clicks(page)[0]
    assert len(top(page)) == 10
    # The browser logs the responses 404 from which the page learned it.
    assert problems and all("404" in problem for problem in problems)
    problems.clear()
