"""Pictures of the page of `qama serve`, and of a notebook, as the docs show them.

    pip install wordllama playwright        (and Chromium)
    python bench/page_pictures.py docs

Some thousand recipes made up of parts, embedded by WordLlama, served with their vectors kept: the
hits of two lengths, the curve and the inspector in the dark, a phone; and what a notebook shows of
the same documents.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

import qama

DISHES = (
    "noodles", "soup", "stew", "rice", "bread", "pickles", "dumplings", "salad", "fish", "beans",
    "pancakes", "curry",
)  # fmt: skip
PLACES = (
    "in the night train", "by the harbour", "in the mountains", "at the market", "on the farm",
    "in the old town", "at the lake", "in the desert", "on the island", "in the forest",
)  # fmt: skip
WAYS = (
    "grilled on coals", "left to ferment", "fried in butter", "cooked slowly", "baked in clay",
    "steamed in leaves",
)  # fmt: skip
TASTES = ("hot with chili", "sour with lemon", "sweet with honey", "with garlic", "with herbs")
QUESTION = "noodles from the night train, hot with chili"
MODULE = """
from pathlib import Path
import wordllama
folder = Path(wordllama.__file__).parent  # where the package carries what its loader looks for
embed = wordllama.WordLlama.load(cache_dir=folder, disable_download=True).embed
"""


def recipes(folder):
    """A folder of documents."""
    names = {}
    exec(MODULE, names)
    parts = list(itertools.product(DISHES, PLACES, WAYS, TASTES))
    texts = [f"{d.capitalize()} as they make it {p}, {w}, {t}." for d, p, w, t in parts]
    metadata = [{"dish": d, "year": 1970 + i % 40, "minutes": 10 + 5 * (i % 9)}
                for i, (d, *_) in enumerate(parts)]  # fmt: skip
    X = np.asarray(names["embed"](texts), np.float32)
    codec = qama.fit(X, max_bytes=48)
    ids = [f"recipe-{i}" for i in range(len(texts))]
    with qama.Documents.create(folder, codec, nbytes=48, keep_vectors="float16") as docs:
        docs.add(ids, X, texts, metadata)


def served(home):
    """`qama serve` over the folder, and its address."""
    (home / "models.py").write_text(MODULE)
    command = [sys.executable, "-m", "qama", "serve", "recipes", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--embed", "models:embed"], cwd=home, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.startswith("{"):
            return process, f"http://localhost:{json.loads(line)['port']}"
    raise SystemExit("qama serve did not start")


def opened(browser, address, width, height, scheme):
    """The page, asked a question and searching by the fewest bytes."""
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab.goto(address)
    tab.wait_for_selector("#facts dd")
    tab.locator("#query").fill(QUESTION)
    tab.locator("#query").press("Enter")
    tab.locator("#bytes").fill("0")
    tab.locator("#summary", has_text="at 12 bytes").wait_for()
    return tab


def notebook(folder):
    """A page that shows expressions and what a notebook would show of them."""
    with contextlib.chdir(folder.parent), qama.Documents.open(folder.name) as docs:
        names = {"docs": docs, "codec": docs.codec}
        cells = []
        for asked in ("codec", "docs", 'docs.search(docs.vectors(["recipe-15"]), k=3)'):
            shown = eval(asked, names)._repr_html_()
            cells.append(f"<pre>{asked}</pre>{shown}")
    style = "body{font-family:sans-serif;margin:16px}pre{background:#f4f5f7;padding:8px}"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{''.join(cells)}"


def main(folder):
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        recipes(Path(home) / "recipes")
        process, address = served(Path(home))
        browser = play.chromium.launch(executable_path=shutil.which("chromium"))
        try:
            opened(browser, address, 1100, 760, "light").screenshot(path=folder / "page.png")
            tab = opened(browser, address, 1000, 900, "dark")
            tab.locator("#measure").click()
            tab.locator("#measure", has_text="again").wait_for()
            top = tab.locator("#curve-title").bounding_box()["y"] + tab.evaluate("scrollY") - 16
            end = tab.evaluate("document.documentElement.scrollHeight")
            clip = {"x": 0, "y": top, "width": 1000, "height": end - top}
            tab.screenshot(path=folder / "page_dark.png", full_page=True, clip=clip)
            tab = opened(browser, address, 390, 800, "light")
            tab.screenshot(path=folder / "page_phone.png")
            tab = browser.new_page(viewport={"width": 900, "height": 700})
            tab.set_content(notebook(Path(home) / "recipes"))
            tab.screenshot(path=folder / "notebook.png", full_page=True)
        finally:
            browser.close()
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
