"""The site, as `make docs` builds it: whole, found by its search, and from one host alone."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from support.browser import chromium, needs_chromium
from support.pages import DOCS, ROOT

WORDS = {  # what one looks for, and where it is answered first
    "auth": "how-to/authentication/",
    "presence": "how-to/presence/",
    "redis": "",
    "windows": "",
    "test": "how-to/testing/",
}
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical", reason="pip install zensical")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


class Read(HTMLParser):
    """What a page links to, loads, and can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.classes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.ids |= {said.get("id", ""), said.get("name", "")}
        self.classes |= set(said.get("class", "").split()) | {said.get("data-md-component", "")}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif tag in LOADED and LOADED[tag] in said and said.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(said[LOADED[tag]])


@functools.cache
def read(page: Path) -> Read:
    return Read(page.read_text())


def test_every_link_and_anchor_is_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        here = f"/{page.relative_to(site)}".removesuffix("index.html")
        for link in read(page).links:
            target = urlsplit(urljoin(here, link))
            if target.scheme in ("http", "https", "mailto") or page.name == "404.html":
                continue
            file = site / unquote(target.path).strip("/")
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), f"{here}: {link}"
            if target.fragment and file.suffix == ".html":
                assert unquote(target.fragment) in read(file).ids, f"{here}: {link}"


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        found = read(page)
        assert not [load for load in found.loads if re.match(r"(https?:)?//", load)], page
        # what the theme's script fetches by itself where a page has these
        assert not found.classes & {"mermaid", "glightbox", "source", "pyodide"}, page
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text()), style


def test_every_page_is_in_the_book(site: Path) -> None:
    def named(entries: list[Any]) -> Iterator[str]:
        for entry in entries:
            for value in entry.values():
                if isinstance(value, str):
                    yield value
                else:
                    yield from named(value)

    book = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert [next(iter(part)) for part in book] == ["Start", "Tutorial", "How to", "Topics", "Reference", "About"]
    assert sorted(named(book)) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("word", WORDS)
def test_the_index_of_the_search_has_it(site: Path, word: str) -> None:
    items = json.loads((site / "search.json").read_text())["items"]
    assert [item for item in items if word in item["title"].lower()], f"no heading has {word}"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.browser
@needs_chromium
async def test_a_reader_loads_nothing_else_and_finds_what_is_looked_for(site: Path) -> None:
    with served(site) as url:
        async with chromium() as browser:
            page = await browser.new_page()
            asked: set[str] = set()
            page.on("request", lambda request: asked.add(request.url))
            for name in ("", "promises/", "tutorial/"):
                await page.goto(url + name)
            for word, place in WORDS.items():
                for patience in (200, 1000, 5000):  # milliseconds, until what was typed has been looked for
                    await page.goto(url)
                    while await page.evaluate("document.activeElement === document.body"):
                        await page.keyboard.press("/")
                        await page.wait_for_timeout(20)
                    await page.keyboard.type(word)
                    await page.wait_for_timeout(patience)
                    await page.keyboard.press("Enter")
                    await page.wait_for_timeout(100)
                    found = (await page.inner_text("article")).lower()
                    if page.url != url and page.url.startswith(url + place) and word in found:
                        break
                else:
                    pytest.fail(f"the search for {word} leads to {page.url}")
        assert all(one.startswith((url, "blob:", "data:")) for one in asked), sorted(asked)
