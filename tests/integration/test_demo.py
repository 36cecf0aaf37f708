"""The demo in a real browser, at both sizes, light and dark, alone and with two hundred."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from support.browser import chromium, needs_chromium
from support.demo import DESKTOP, PHONE, Guest, complaints, demo, enter, say

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.asyncio(loop_scope="module")]

SCREENSHOTS = Path(__file__).parents[2] / "reports" / "screenshots"
SIZES = {"desktop": DESKTOP, "phone": PHONE}
LOOKS = (Path(__file__).parents[1] / "support" / "looks.js").read_text()
PLACE = "document.getElementById('scroller').scrollTop"


class Place:
    """One server and one browser for all that need no more."""

    def __init__(self, browser: Browser, port: int) -> None:
        self.browser = browser
        self.port = port
        self._pages: list[Page] = []
        self._guests: list[Guest] = []

    async def enter(self, name: str, *rooms: str, **settings: Any) -> Page:
        self._pages.append(await enter(self.browser, self.port, name, *rooms, **settings))
        return self._pages[-1]

    async def guest(self, name: str, room: str, secret: str = "") -> Guest:
        self._guests.append(await Guest.enter(self.port, name, room, secret))
        return self._guests[-1]

    async def leave(self) -> None:
        for guest in self._guests:
            guest.go()
        for page in self._pages:
            await page.context.close()
        self._pages, self._guests = [], []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_for_all() -> AsyncIterator[Place]:
    async with chromium() as browser, demo() as (_, port):
        yield Place(browser, port)


@pytest_asyncio.fixture(loop_scope="module")
async def place(one_for_all: Place) -> AsyncIterator[Place]:
    complaints.clear()
    yield one_for_all
    await one_for_all.leave()
    assert complaints == []


async def people(page: Page, *names: str | re.Pattern[str]) -> None:
    await expect(page.locator("#here li .name")).to_have_text(list(names))


async def texts(page: Page, *expected: str) -> None:
    await expect(page.locator("#messages .text")).to_have_text(list(expected))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_it_looks_as_it_should(place: Place, size: str, scheme: Any) -> None:
    """Nothing sticks out, everything can be read, everything has a name and can be hit."""
    room = f"{size} {scheme}"
    bob, ali = await place.guest("Bob", room), await place.guest("علي", room)
    ann = await place.enter("Ann", room, viewport=SIZES[size], color_scheme=scheme)
    bob.say("a" * 300, "as I said")
    ali.say("صباح الخير")
    await expect(ann.locator("#messages .text")).to_have_count(3)
    await say(ann, "Good morning!")
    await expect(ann.locator("#messages .mine .text")).to_have_text("Good morning!")
    bob.type()
    await expect(ann.locator("#typing")).to_contain_text("Bob")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await ann.screenshot(path=SCREENSHOTS / f"demo-{size}-{scheme}.png")

    await expect(ann.locator("#me")).to_contain_text("You are Ann")
    assert await ann.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"]
    for shown in ("#me", "#rate", "#join button", "#text", "#send", ".said .name >> nth=0"):
        await expect(ann.locator(shown)).to_be_in_viewport(ratio=1)
    assert await ann.evaluate(f"{LOOKS}.unreadable()") == []
    assert await ann.evaluate(f"{LOOKS}.unusable()") == []
    if size == "phone":
        await expect(ann.locator("#here")).not_to_be_visible()
        await expect(ann.locator("#people")).to_contain_text("3 here")
        await ann.press("#people", "Enter")
    await expect(ann.locator("#here li .name")).to_have_count(3)
    await expect(ann.locator("#here")).to_be_in_viewport(ratio=1)
    assert await ann.evaluate(f"{LOOKS}.unreadable()") == []
    if size == "phone":
        await ann.keyboard.press("Escape")
        await expect(ann.locator("#here")).not_to_be_visible()
        await expect(ann.locator("#people")).to_be_focused()


async def test_one_comes_in_by_a_name_and_a_name_is_judged_in_words(place: Place) -> None:
    page = await (await place.browser.new_context()).new_page()
    await page.goto(f"http://127.0.0.1:{place.port}/")
    await expect(page.locator("#name")).to_be_focused()
    await page.fill("#name", "\u200b\u200d")
    await page.keyboard.press("Enter")
    await expect(page.locator("#unwelcome")).to_have_text("Your name needs a letter.")
    await page.fill("#name", "Zoë")
    await page.click("text=Come in")
    await expect(page.locator("#state")).to_have_text("connected")
    await expect(page.locator("#title")).to_have_text("lobby")
    await expect(page.locator("#me")).to_contain_text("Zoë")
    await page.reload()
    await expect(page.locator("#me")).to_contain_text("Zoë")
    await page.context.close()


async def test_two_talk_in_rooms_and_one_leaves(place: Place) -> None:
    ann, bob = await place.enter("Ann", "talk"), await place.enter("Bob", "talk")
    await people(ann, "Ann you", "Bob")
    await people(bob, "Ann", "Bob you")
    await say(ann, "hello Bob")
    await texts(bob, "hello Bob")

    # markup is text, wherever it comes from
    await say(bob, "<img src=x onerror=\"document.title='broken'\"><b>bold</b>")
    await expect(ann.locator("#messages .text").last).to_contain_text("<b>bold</b>")
    assert await ann.locator("#messages img, #messages b").count() == 0

    # lines are kept, and Shift+Enter makes one
    await ann.fill("#text", "one")
    await ann.press("#text", "Shift+Enter")
    await ann.keyboard.type("two")
    await ann.keyboard.press("Enter")
    await expect(bob.locator("#messages .text").last).to_have_text("one\ntwo", use_inner_text=True)

    # a second room, in which Ann is not, and which she is told of
    await bob.fill("#room", "#quiet  corner")
    await bob.press("#room", "Enter")
    await people(bob, "Bob you")
    await say(bob, "nobody hears")
    await texts(bob, "nobody hears")
    await expect(ann.locator("#others")).to_contain_text("quiet corner1")
    await say(ann, "still here?")
    await expect(bob.locator("#tabs .unread").first).to_have_text("1")
    await expect(bob).to_have_title("(1) hubbub")
    await bob.keyboard.press("Alt+ArrowUp")
    await expect(bob.locator("#title")).to_have_text("talk")
    await expect(bob.locator("#messages .new")).to_be_visible()
    await bob.click("[title='Leave talk']")
    await people(ann, "Ann you")
    await expect(ann.locator("#messages .note").last).to_have_text("\u2068Bob\u2069 left.")
    await expect(ann.locator("#gone")).to_have_text("BBob")
    await expect(bob.locator("#title")).to_have_text("quiet corner")
    await expect(bob.locator("#text")).to_be_focused()


async def test_who_joins_finds_what_was_said_and_who_was_here(place: Place) -> None:
    bob = await place.guest("Bob", "old")
    bob.say("first", "second")
    bob.go()
    ann = await place.enter("Ann", "old")
    await texts(ann, "first", "second")
    await expect(ann.locator("#gone .name")).to_have_text(["Bob"])
    await people(ann, "Ann you")
    await expect(ann.locator("#messages .new")).to_have_count(0)

    # what comes while the page is not there is told apart
    await say(ann, "third")
    await texts(ann, "first", "second", "third")
    await ann.goto("about:blank")
    (await place.guest("Bob", "old")).say("fourth")
    await ann.goto(f"http://127.0.0.1:{place.port}/")
    await texts(ann, "first", "second", "third", "fourth")
    await expect(ann.locator("#messages .new + li .text")).to_have_text("fourth")
    await people(ann, "Ann you", "Bob")


async def test_a_reload_is_no_leave_and_takes_nothing_from_the_keyboard(place: Place) -> None:
    ann, bob = await place.enter("Ann", "steady"), await place.enter("Bob", "steady")
    await people(ann, "Ann you", "Bob")
    await bob.reload()
    await people(bob, "Ann", "Bob you")
    await say(bob, "back")
    await texts(ann, "back")
    await expect(ann.locator("#messages .note")).to_have_text(["\u2068Bob\u2069 joined."])

    # who enters a room that is listed finds the keyboard where they write
    await place.guest("Eve", "next door")
    await ann.focus("#others [title='Enter next door']")
    await ann.keyboard.press("Enter")
    await expect(ann.locator("#title")).to_have_text("next door")
    await expect(ann.locator("#text")).to_be_focused()


async def test_people_of_one_name_are_told_apart(place: Place) -> None:
    ann = await place.enter("Ann", "twins")
    await people(ann, "Ann you")
    (await place.guest("ANN", "twins", secret="another")).say("it is me, Ann")
    await people(ann, re.compile("A.. [0-9a-f]{4}"), re.compile("A.. [0-9a-f]{4}"))
    tags = await ann.locator("#here .tag").all_inner_texts()
    assert len(set(tags)) == 2
    await expect(ann.locator("#me .tag")).to_have_count(1)
    await expect(ann.locator("#messages .tag")).to_have_text([tag for tag in tags if tag not in await me(ann)])


async def me(page: Page) -> str:
    return await page.inner_text("#me")


async def test_text_goes_in_its_own_direction(place: Place) -> None:
    ann = await place.enter("Ann", "both ways")
    (await place.guest("مريم", "both ways")).say("مرحبا hubbub!", "hello مرحبا")
    await texts(ann, "مرحبا hubbub!", "hello مرحبا")
    directions = "all => all.map(one => getComputedStyle(one).direction)"
    assert await ann.locator("#messages .text").evaluate_all(directions) == ["rtl", "ltr"]
    assert await ann.locator("#here .name bdi").evaluate_all(directions) == ["ltr", "rtl"]
    await ann.fill("#text", "שלום")
    assert await ann.locator("#text").evaluate_all(directions) == ["rtl"]
    await expect(ann.locator("#messages .note")).to_have_text("\u2068مريم\u2069 joined.")


async def test_who_types_is_shown_until_they_have_said_it(place: Place) -> None:
    ann, bob = await place.enter("Ann", "typing"), await place.enter("Bob", "typing")
    await people(ann, "Ann you", "Bob")
    await bob.type("#text", "h")
    await expect(ann.locator("#typing")).to_have_text("\u2068Bob\u2069 is typing …")
    await expect(bob.locator("#typing")).to_be_empty()
    await say(bob, "hello")
    await texts(ann, "hello")
    await expect(ann.locator("#typing")).to_be_empty()


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_a_reader_keeps_their_place_and_the_keyboard_its_focus(place: Place, size: str) -> None:
    room = f"reading {size}"
    bob = await place.guest("Bob", room)
    bob.say(*(f"line {number}" for number in range(40)))
    ann = await place.enter("Ann", room, "other room", viewport=SIZES[size])
    await expect(ann.locator("#messages .text")).to_have_count(40)
    await expect(ann.locator("#messages .text").last).to_be_in_viewport()
    await ann.focus("#scroller")
    await ann.keyboard.press("Home")
    await expect(ann.locator("#newest")).to_have_text("To the newest")
    while await ann.evaluate(PLACE):
        await asyncio.sleep(0.02)
    await ann.evaluate("document.getElementById('scroller').scrollTop = 100")
    await ann.focus("[title='Leave " + room + "']")
    before = await ann.evaluate(PLACE)
    bob.say(*(f"more {number}" for number in range(25)))
    await expect(ann.locator("#newest")).to_have_text("25 new")
    (await place.guest("bob", room, secret="another")).say("last")
    await expect(ann.locator("#newest")).to_have_text("26 new")
    await expect(ann.locator("#messages .tag")).not_to_have_count(0)
    assert await ann.evaluate(PLACE) == before
    await expect(ann.locator("[title='Leave " + room + "']")).to_be_focused()

    # by the end of what was there, the new ones begin; by the button, all is at its end
    await ann.evaluate("document.getElementById('scroller').scrollTop = 1e6")
    await expect(ann.locator("#messages .new + li .text")).to_have_text("more 0")
    await expect(ann.locator("#messages .new")).to_be_in_viewport()
    await ann.press("#newest", "Enter")
    await expect(ann.locator("#newest")).not_to_be_visible()
    await expect(ann.locator("#messages .text").last).to_have_text("last")
    await expect(ann.locator("#messages .text").last).to_be_in_viewport()
    bob.say("and on")
    await expect(ann.locator("#messages .text").last).to_have_text("and on")
    await expect(ann.locator("#messages .text").last).to_be_in_viewport()

    # a few pixels are enough to stay
    await ann.evaluate("document.getElementById('scroller').scrollTop -= 8")
    await expect(ann.locator("#newest")).to_be_visible()
    bob.say("and on and on")
    await expect(ann.locator("#newest")).to_have_text("1 new")


async def test_joins_and_leaves_do_not_drown_the_talk(place: Place) -> None:
    ann = await place.enter("Ann", "door")
    crowd = [await place.guest(f"Guest {number}", "door") for number in range(8)]
    crowd[0].say("what a crowd")
    crowd += [await place.guest(f"Guest {number}", "door") for number in range(8, 20)]
    await people(ann, "Ann you", *(f"Guest {number}" for number in range(20)))
    notes = ann.locator("#messages .note")
    await expect(notes).to_have_count(1)
    await expect(notes).to_have_text(re.compile(r"^\W*Guest 0\W+Guest 1\W+Guest 2\W+and 17 others joined\.$"))
    await texts(ann, "what a crowd")


async def test_a_refusal_leaves_no_tab_and_is_told_in_words(place: Place) -> None:
    ann = await place.enter("Ann", *(f"room {number}" for number in range(19)))
    for room, tabs, complaint in [
        ("x" * 41, 19, "The name of a room has up to 40 characters."),
        ("\u200b", 19, "The name of a room needs a letter."),
        ("the last", 20, ""),
        ("one more", 20, "You are in as many rooms as one can be in. Leave one first."),
    ]:
        before = await ann.inner_text("#title")
        await ann.fill("#room", room)
        await ann.press("#room", "Enter")
        await expect(ann.locator("#tabs li")).to_have_count(tabs)
        await expect(ann.locator("#error")).to_contain_text(complaint)
        await expect(ann.locator("#title")).to_have_text(before if complaint else room)
    await ann.reload()
    await expect(ann.locator("#tabs li")).to_have_count(20)
    await expect(ann.locator("#complaint")).not_to_be_visible()
    await ann.evaluate("document.getElementById('text').removeAttribute('maxlength')")
    await say(ann, "y" * 2001)
    await expect(ann.locator("#error")).to_have_text("A message has 1 to 2000 characters.")
    assert await ann.input_value("#text") == "y" * 2001


async def test_binary_frames_do_no_harm(place: Place) -> None:
    browser = place.browser
    context = await browser.new_context()
    page = await context.new_page()
    harmed: list[str] = []
    page.on("pageerror", lambda error: harmed.append(str(error)))

    def between(socket: Any) -> None:
        server = socket.connect_to_server()

        def on_from_server(message: Any) -> None:
            socket.send(b"\x00\xff\x01")
            socket.send("no JSON\n")
            socket.send(message)

        server.on_message(on_from_server)

    await page.route_web_socket(re.compile("/connection/websocket"), between)
    await page.goto(f"http://127.0.0.1:{place.port}/")
    await page.fill("#name", "Ann")
    await page.click("text=Come in")
    bob = await place.enter("Bob", "lobby")
    await say(bob, "still there?")
    await expect(page.locator("#messages .text").last).to_have_text("still there?")

    # and of those that a client sends the others notice nothing
    eve = await place.guest("Eve", "lobby")
    eve.send_binary(b"\x00\xff\xfe")
    await say(page, "yes")
    await expect(bob.locator("#messages .text").last).to_have_text("yes")
    assert harmed == []
    await context.close()


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
async def test_two_hundred_who_talk_are_drawn_once_a_frame(place: Place, size: str, scheme: Any) -> None:
    """Fewer changes of the document than messages, none of the list of people, and a document that does not grow."""
    room = f"crowd {size}"
    ann = await place.enter("Ann", room, viewport=SIZES[size], color_scheme=scheme)
    crowd = await asyncio.gather(*(place.guest(f"Guest {number}", room) for number in range(200)))
    await expect(ann.locator("#count")).to_have_text("201")
    await ann.evaluate(f"{LOOKS}.count('messages', 'here')")
    for second in range(2):
        for number, guest in enumerate(crowd):
            guest.say(f"message {second} of guest {number}", f"message {second} of guest {number}, again")
            await asyncio.sleep(0)
    for guest in crowd:
        await guest.was_heard()
    await say(ann, "the end")
    await expect(ann.locator("#messages .text").last).to_have_text("the end")
    await expect(ann.locator("#messages .text").last).to_be_in_viewport()
    drawn = await ann.evaluate("window.drawn")
    assert drawn["messages"] < 400
    assert drawn["here"] == 0
    assert await ann.locator("#messages > li").count() <= 200
    await expect(ann.locator("#messages .note")).to_have_count(0)  # far above
    assert await ann.evaluate(f"{LOOKS}.unreadable()") == []  # in whatever colour a name is
    await ann.screenshot(path=SCREENSHOTS / f"demo-crowd-{size}-{scheme}.png")


async def test_what_was_missed_while_away_comes_after_and_is_told(place: Place) -> None:
    bob = await place.guest("Bob", "tunnel")
    async with Way(place.port) as way:
        ann = await enter(place.browser, way.port, "Ann", "tunnel")
        bob.say("before")
        await texts(ann, "before")
        way.cut()
        await expect(ann.locator("#state")).to_contain_text("trying again")
        bob.say("meanwhile", "and again")
        await say(ann, "can you hear me?")
        await expect(ann.locator("#error")).to_contain_text("You are not connected.")
        assert await ann.input_value("#text") == "can you hear me?"
        way.mend()
        await come_back(ann)
        await expect(ann.locator("#messages .event")).to_contain_text(["these 2 messages came meanwhile."])
        await texts(ann, "before", "meanwhile", "and again")
        await expect(ann.locator("#messages .event + li .text")).to_have_text("meanwhile")
        await expect(ann.locator("#complaint")).not_to_be_visible()
        await expect(ann.locator("#text")).to_be_focused()
        await ann.keyboard.press("Enter")
        await texts(ann, "before", "meanwhile", "and again", "can you hear me?")

        # more than is kept
        way.cut()
        await expect(ann.locator("#state")).to_contain_text("trying again")
        for guest in [await place.guest(name, "tunnel") for name in ("Eve", "Dan", "Kim")]:
            guest.say(*(f"line {number}" for number in range(70)))
            await guest.was_heard()
        way.mend()
        await come_back(ann)
        await expect(ann.locator("#messages .event")).to_contain_text(["not all that was said meanwhile is kept"])
        await expect(ann.locator("#messages .text")).to_have_count(100)
        await ann.context.close()


async def test_a_server_that_is_started_anew_has_lost_nothing(place: Place, tmp_path: Path) -> None:
    broker = f"sqlite:{tmp_path}/demo.db"
    async with demo(broker) as (_, port):
        ann = await enter(place.browser, port, "Ann", "lobby")
        bob = await enter(place.browser, port, "Bob", "lobby")
        await people(ann, "Ann you", "Bob")
        await say(ann, "before")
        await texts(bob, "before")
    await expect(ann.locator("#state")).to_contain_text("trying again")
    async with demo(broker, port):
        for page in ann, bob:
            await come_back(page)
            await expect(page.locator("#messages .event")).to_contain_text(["nothing was said meanwhile."])
        await say(bob, "after")
        for page in ann, bob:
            await texts(page, "before", "after")
        await people(ann, "Ann you", "Bob")
        await expect(ann.locator("#messages .note:not(.event)")).to_have_text(["\u2068Bob\u2069 joined."])
        for page in ann, bob:
            await page.context.close()


async def come_back(page: Page) -> None:
    """Without the pauses between attempts."""
    async with asyncio.timeout(10):
        while await page.inner_text("#state") != "connected":
            await page.evaluate("document.getElementById('again').click()")
            await asyncio.sleep(0.05)


class Way:
    """A way to the server that can be cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._open = True
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def __aenter__(self) -> Way:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        self._open = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        self._open = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            return writer.transport.abort()
        try:
            to_read, to_write = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            return writer.transport.abort()
        self._writers += [writer, to_write]
        await asyncio.gather(self._pass(reader, to_write), self._pass(to_read, writer))

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
        except OSError:
            pass
        writer.close()
