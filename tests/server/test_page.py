"""The page at `/`: its files, and what it does in Chromium, by mouse, keyboard and phone.

Chromium is the one on the PATH, or the one that QAMA_CHROMIUM names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request

import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: make test-server")

from serving import CODE, COUNT, GRID, Live, client, make_documents, make_index

from qama.server import page

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("QAMA_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
KEY = "a-key-for-the-tests-0123456789"
STATIC = {path: body.decode() for path, (_, body) in page._FILES.items()}


# --- the files ---------------------------------------------------------------------------------


def test_the_page_is_served_to_everybody_and_may_load_nothing_else(tmp_path):
    with client(make_documents(tmp_path / "library", count=5), keys=[KEY]) as (api, _):
        for path, body in STATIC.items():
            answer = api.get(path)
            assert (answer.status_code, answer.text) == (200, body)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert api.get("/page/none.js").status_code == 401
        paths = api.get("/openapi.json", headers={"Authorization": f"Bearer {KEY}"}).json()["paths"]
        assert not {*STATIC} & {*paths}


def test_every_file_is_used_and_none_is_from_elsewhere():
    named = {
        found.removeprefix("./").removeprefix("page/")
        for body in STATIC.values()
        for found in re.findall(r'(?:src|href)="([^"#]+)"|from "([^"]+)"', body)
        for found in found
        if found
    }
    assert {f"/page/{name}" for name in named} | {"/"} == {*STATIC}
    for body in STATIC.values():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", body)
        assert "innerHTML" not in body
        assert "Storage" not in body  # a key is in memory alone


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAIRS = (
    ("text", "ground"), ("text", "raised"), ("muted", "ground"), ("muted", "raised"),
    ("on-accent", "accent"), ("shared", "shared-ground"), ("alone", "alone-ground"),
    ("alert", "ground"), ("accent", "ground"),
)  # fmt: skip


def test_texts_stand_out_in_both_themes():
    blocks = re.findall(r"color-scheme: (light|dark);\n(.*?)\}", STATIC["/page/page.css"], re.S)
    themes = [(name, dict(re.findall(r"--([\w-]+): (#\w{6});", block))) for name, block in blocks]
    assert [name for name, _ in themes] == ["light", "dark", "dark"]
    assert themes[1][1] == themes[2][1]  # by the system, and by the button
    for _, colours in themes:
        for one, other in PAIRS:
            low, high = sorted(luminance(colours[name]) for name in (one, other))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (one, other)


# --- in Chromium -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make test-server"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium, or set QAMA_CHROMIUM")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("page")
    make_documents(home / "kept", **CODE, keep_vectors="float16")
    make_documents(home / "plain")
    make_index(home / "index.qama")
    return home


@pytest.fixture(scope="module")
def live(home):
    collections = (home / "kept", home / "plain", home / "index.qama")
    with Live(*collections, "--write", "--embed", "serving:embed") as served:
        yield served


@pytest.fixture(scope="module")
def plain(home, tmp_path_factory):
    """Documents with a text that looks like markup, and an index; nothing embeds questions."""
    folder = make_documents(tmp_path_factory.mktemp("without") / "library")
    import qama

    with qama.Documents.open(folder, "a") as docs:
        docs.add(["<b>bold</b>"], docs.vectors(["d7"]), ["<img src=x onerror=alert(1)> page 7"])
    with Live(folder, home / "index.qama") as served:
        yield served


@pytest.fixture
def visit(browser):
    """Opens a page; afterwards nothing went wrong in any, and nothing was asked of others."""
    opened, wrong, asked = [], [], []

    def open_page(url, *, wait=True, **options):
        context = browser.new_context(**options)
        opened.append(context)
        tab = context.new_page()
        tab.set_default_timeout(15_000)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        tab.on("request", lambda request: asked.append(request.url.startswith(url)))
        tab.goto(url)
        if wait:
            tab.wait_for_selector("#facts dd")
        return tab

    yield open_page
    for context in opened:
        context.close()
    assert [said for said in wrong if "status of 40" not in said] == []
    assert asked
    assert all(asked)


def ask(live, path, **body):
    told = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{live.url}/v1/{path}", json.dumps(body).encode(), told)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def found(live, **body):
    (hits,) = ask(live, "search", **body)["results"]
    return [str(hit["id"]) for hit in hits]


def shown(tab, side):
    return tab.locator(f"#{side} li .id").all_inner_texts()


def settle(tab, said):
    tab.locator("#summary", has_text=said).wait_for()


def wait_until(tab, true):
    for _ in range(300):
        if true():
            return
        tab.wait_for_timeout(50)
    raise AssertionError("it never became so")


def search(tab, text, mode=None):
    if mode is not None:
        tab.get_by_role("radio", name=mode, exact=True).check()
    tab.locator("#query").fill(text)
    tab.locator("#query").press("Enter")


def test_kept_vectors_beside_a_chosen_length(live, visit):
    tab = visit(live.url)
    search(tab, "page of a question")
    asked = {"collection": "kept", "queries": ["page of a question"], "k": 10}
    exact = found(live, **asked, rescore=1000)
    first, last = GRID.byte_budgets[0], GRID.byte_budgets[-1]
    slider = tab.get_by_role("slider")
    slider.focus()
    for key, nbytes in (("Home", first), ("End", last), ("ArrowLeft", first)):
        slider.press(key)
        settle(tab, f"at {nbytes} bytes")
        chosen = found(live, **asked, nbytes=nbytes)
        assert shown(tab, "left") == exact
        assert shown(tab, "right") == chosen
        both = len({*exact} & {*chosen})
        assert tab.locator("#summary").inner_text().startswith(f"{both} of 10 hits are shared")
        assert tab.locator("#right .shared").count() == tab.locator("#left .shared").count() == both
        assert tab.locator("#right .alone").all_inner_texts() == [
            text for text in tab.locator("#right li").all_inner_texts() if "only here" in text
        ]
        assert slider.get_attribute("aria-valuetext") == f"{nbytes} bytes"
        assert tab.locator("#curve circle.now").get_attribute("data-nbytes") == str(nbytes)
    assert "float16" in tab.locator("#left-title").inner_text()
    assert "all of them" in tab.locator("#reference-note").inner_text()
    tab.get_by_label("Compare with").select_option(str(last))
    settle(tab, "shared")
    assert shown(tab, "left") == found(live, **asked, nbytes=last)


def test_two_lengths_where_no_vectors_are_kept(live, visit):
    tab = visit(live.url)
    tab.locator("#collection").select_option("plain")
    tab.locator("#facts", has_text="none").wait_for()
    search(tab, "something")
    settle(tab, "shared at")
    asked = {"collection": "plain", "queries": ["something"], "k": 10}
    assert tab.get_by_label("Compare with").input_value() == str(GRID.byte_budgets[-1])
    assert shown(tab, "left") == found(live, **asked)
    assert shown(tab, "right") == found(live, **asked, nbytes=GRID.byte_budgets[0])


def test_without_an_embedder_words_and_ids_are_searched(plain, visit):
    tab = visit(plain.url)
    assert tab.get_by_role("radio").count() == 2
    search(tab, "page 7", "By words")
    settle(tab, "10 hits.")
    assert shown(tab, "left") == found(plain, collection="library", words=["page 7"], k=10)
    assert tab.locator("#right").is_hidden()
    text = tab.locator("#left li", has_text="<b>bold</b>").locator(".text")
    assert text.inner_text() == "<img src=x onerror=alert(1)> page 7"
    assert tab.locator("main img").count() == 0
    tab.get_by_role("button", name="More like this: d7").first.click()
    settle(tab, "shared at")
    wanted = found(plain, collection="library", like=["d7"], k=11)
    assert shown(tab, "left") == [key for key in wanted if key != "d7"][:10]
    assert tab.get_by_role("radio", name="Like a document").is_checked()
    assert tab.evaluate("document.activeElement.id") == "results"
    search(tab, "none such")
    alert = tab.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "there is no document 'none such'"
    assert shown(tab, "left") == shown(tab, "right") == []
    search(tab, "d9")
    settle(tab, "shared at")
    assert alert.is_hidden()


def test_an_index_file_is_searched_by_id(plain, visit):
    tab = visit(plain.url)
    tab.locator("#collection").select_option("index")
    settle(tab, "shared at")  # it begins with its first id
    wanted = found(plain, collection="index", like=[0], k=11)
    assert shown(tab, "left") == wanted[1:]
    assert tab.locator("#filters").is_hidden()


def test_filters_are_added_and_removed(live, visit):
    tab = visit(live.url)
    search(tab, "page")
    settle(tab, "shared at")
    before = shown(tab, "left")
    tab.locator("#filters summary").click()
    names = [option.get_attribute("value") for option in tab.locator("#fields option").all()]
    assert names == ["year", "odd"]
    wanted = {"$and": [{"odd": {"$eq": True}}, {"year": {"$gte": 2010}}]}
    for field, condition, value in (("odd", "is", "true"), ("year", "at least", "2010")):
        tab.get_by_label("Field").fill(field)
        tab.locator("#operator").select_option(condition)
        tab.get_by_label("Value").fill(value)
        tab.get_by_label("Value").press("Enter")
    exact = found(live, collection="kept", queries=["page"], k=10, rescore=1000, where=wanted)
    wait_until(tab, lambda: shown(tab, "left") == exact)
    assert tab.locator("#filter-count").inner_text() == "(2)"
    for _ in range(2):
        tab.get_by_role("button", name="Remove: ").first.press("Enter")
    wait_until(tab, lambda: shown(tab, "left") == before)


def test_the_curve_is_what_the_server_measured(live, visit):
    tab = visit(live.url)
    tab.wait_for_selector("#curve svg")
    points = ask(live, "curve", collection="kept")["points"]

    def said(share):
        return f"{round(100 * share)} %"

    tab.locator("#curve summary").click()
    rows = [
        row.all_inner_texts()
        for row in (row.locator("td") for row in tab.locator("#curve tr").all()[1:])
    ]
    assert rows == [
        [str(p["nbytes"]), said(p["overlap"]), f"{said(p['low'])} to {said(p['high'])}"]
        for p in points
    ]
    label = tab.locator("#curve svg").get_attribute("aria-label")
    assert f"{said(points[0]['overlap'])} at {points[0]['nbytes']} bytes" in label
    assert "64 documents of this collection" in tab.locator("#curve").inner_text()
    search(tab, "one question")
    settle(tab, "shared at")
    tab.get_by_label("Measured with").select_option("queries")
    tab.locator("#curve", has_text="Of 1 questions").wait_for()


def test_what_the_inspector_tells(live, visit):
    tab = visit(live.url)
    names, said = (tab.locator(f"#facts {tag}").all_inner_texts() for tag in ("dt", "dd"))
    facts = dict(zip(names, said, strict=True))
    assert facts["Rows"] == f"{COUNT} of {GRID.dims_in} dims"
    assert facts["Codec"] == GRID.fingerprint
    assert facts["Searchable lengths"] == f"{', '.join(map(str, GRID.byte_budgets))} bytes"
    assert facts["Kernel"].startswith(ask(live, "inspect", collection="kept")["kernel"]["path"])


def test_a_key_is_asked_for_and_kept_nowhere(home, visit):
    with Live(home / "plain", "--embed", "serving:embed", QAMA_API_KEY=KEY) as live:
        tab = visit(live.url, wait=False)
        box = tab.get_by_label("API key", exact=True)
        box.wait_for()
        box.fill("a-wrong-key-of-twenty-letters")
        box.press("Enter")
        tab.get_by_text("The server did not accept that key.").wait_for()
        tab.get_by_label("API key", exact=True).fill(KEY)
        tab.get_by_role("button", name="Use it").click()
        tab.wait_for_selector("#facts dd")
        search(tab, "something")
        settle(tab, "shared at")
        stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert KEY not in tab.evaluate(stored)
        assert KEY not in tab.content()
        assert tab.locator("#key").input_value() == ""
        tab.reload()
        tab.get_by_label("API key", exact=True).wait_for()
        _, lines = live.stop()
    assert KEY not in "".join(lines)


def test_light_and_dark_by_the_system_and_by_the_button(live, visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = visit(live.url, color_scheme="light").evaluate(ground)
    tab = visit(live.url, color_scheme="dark")
    dark = tab.evaluate(ground)
    assert light != dark
    button, seen = tab.locator("#theme"), []
    for _ in range(3):
        button.click()
        seen.append((button.inner_text(), tab.evaluate(ground)))
    assert seen == [
        ("Theme: dark", dark), ("Theme: light", light), ("Theme: as the system", dark)
    ]  # fmt: skip


@pytest.mark.parametrize("width", [320, 390, 768])
def test_small_screens_need_no_sideways_scrolling(live, visit, width):
    tab = visit(live.url, viewport={"width": width, "height": 700}, has_touch=True)
    search(tab, "page")
    settle(tab, "shared at")
    tab.wait_for_selector("#curve svg")
    tab.locator("#filters summary").click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_is_named_and_reached_by_the_keyboard(live, visit):
    tab = visit(live.url)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    search(tab, "page")
    settle(tab, "shared at")
    tab.locator("#filters summary").click()
    unnamed = tab.evaluate("""[...document.querySelectorAll('input, select, button')]
      .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
      .map((e) => e.outerHTML)""")
    assert unnamed == []
    reached = set()
    for _ in range(80):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.id || document.activeElement.name"))
    wanted = {"collection", "theme", "mode", "query", "field", "operator", "value", "reference"}
    assert wanted | {"k", "bytes", "curve-source", "measure", "look"} <= reached
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    tab.locator("#theme").focus()
    tab.keyboard.press("Shift+Tab")
    assert tab.evaluate(outline) == "solid"
    live_parts = tab.locator("[aria-live], [role=alert], [role=status]").count()
    assert live_parts >= 3
    headings = tab.evaluate("[...document.querySelectorAll('main h2')].map((e) => e.textContent)")
    assert headings == ["Search", "Results", "Quality against bytes", "What this collection is"]
