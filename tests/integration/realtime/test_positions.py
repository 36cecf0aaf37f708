"""What a subscription recovers, what it cannot, and how histories are read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubbub.brokers import Position
from hubbub.realtime import Bounds, Fault, History, Namespace, Realtime

from .conftest import Place

KEPT = Namespace(history=History(10, 60), force_recovery=True)
ASKED = Namespace(history=History(10, 60), allow_recovery=True, allow_positioning=True)
READABLE = Namespace(
    history=History(10, 60), allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True,
    allow_history_for_subscriber=True, allow_history_for_anonymous=True,
)  # fmt: skip
SHORT = Namespace(history=History(10, 0.2), force_recovery=True)
LATEST = Namespace(history=History(10, 60), force_recovery=True, force_recovery_mode="cache")
ALWAYS = Namespace(
    history=History(10, 60), force_recovery=True, force_recovery_mode="cache", auto_cache_recover=True
)  # fmt: skip
SPACES = {"": KEPT, "asked": ASKED, "short": SHORT, "latest": LATEST, "always": ALWAYS}


async def published(rt: Realtime, channel: str, count: int) -> str:
    """Publish 1, 2 and so on. Returns the epoch."""
    for number in range(1, count + 1):
        epoch = (await rt.publish(channel, number)).epoch
    return epoch


def offsets(result: dict[str, Any]) -> list[int]:
    return [publication["offset"] for publication in result.get("publications", ())]


@pytest.mark.parametrize(
    ("offset", "epoch", "recovered"),
    [
        (3, "same", [4, 5]),
        (5, "same", []),
        (0, "same", [1, 2, 3, 4, 5]),
        (0, "", [1, 2, 3, 4, 5]),
        (3, "", [4, 5]),
        (6, "same", None),
        (2**63, "same", None),
        (3, "other", None),
        (0, "_", None),
    ],
)
@pytest.mark.parametrize("held", [False, True], ids=["fresh", "held"])
async def test_what_is_recovered(bare: Place, offset: int, epoch: str, recovered: list[int] | None, held: bool) -> None:
    """`held`: another session is in the channel, so that its node has a tail of its own."""
    rt = await bare.serve(insecure=True, namespaces=SPACES)
    if held:
        await (await bare.connected()).subscribe("one")
    current = await published(rt, "one", 5)
    epoch = current if epoch == "same" else epoch
    request = {"recover": True, "offset": offset, "epoch": epoch}
    peer = await bare.connected()
    result = (await peer.subscribe("one", **request))["subscribe"]
    assert result["was_recovering"] is True
    assert result["epoch"] == current
    if recovered is None:
        assert "recovered" not in result
        assert "publications" not in result
        assert result["offset"] == 5
    else:
        assert result["recovered"] is True
        assert offsets(result) == recovered
        assert result.get("offset", 0) == offset, "the client's, whose library goes on from there"
    other = await bare.connected()
    reply = await other.subscribe("one", **request, flag=2)
    assert reply.get("error", {}).get("code") == (112 if recovered is None else None)
    if recovered is None:
        assert (await other.subscribe("one"))["subscribe"]["offset"] == 5, "it is not subscribed after 112"
        await rt.publish("one", 6)
        await other.until(lambda: [p["pub"]["offset"] for p in other.pushes] == [6])


async def test_only_the_first_of_a_history_names_the_epoch(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES)
    watching = await place.connected()
    await watching.subscribe("one")
    epoch = await published(rt, "one", 2)
    await watching.until(lambda: len(watching.pushes) == 2)
    assert [push["pub"].get("epoch") for push in watching.pushes] == [epoch, None]
    result = (await (await place.connected()).subscribe("one", recover=True))["subscribe"]
    assert [publication.get("epoch") for publication in result["publications"]] == [epoch, None]


async def test_what_is_trimmed_cannot_be_recovered(bare: Place) -> None:
    """Neither from the broker, nor from what the node has of the channel."""
    rt = await bare.serve(insecure=True, namespaces=SPACES)
    for held in False, True:
        peer = await bare.connected()
        if held:
            await (await bare.connected()).subscribe("held")
        channel = "held" if held else "one"
        epoch = await published(rt, channel, 13)
        result = (await peer.subscribe(channel, recover=True, offset=2, epoch=epoch))["subscribe"]
        assert "recovered" not in result
        await peer.ask(unsubscribe={"channel": channel})
        result = (await peer.subscribe(channel, recover=True, offset=3, epoch=epoch))["subscribe"]
        assert offsets(result) == list(range(4, 14))


async def test_more_than_is_given_at_once(bare: Place) -> None:
    rt = await bare.serve(insecure=True, namespaces=SPACES, bounds=Bounds(max_publications=4))
    for held in False, True:
        if held:
            await (await bare.connected()).subscribe("held")
        channel = "held" if held else "one"
        await published(rt, channel, 6)
        for offset, expected in (1, None), (2, [3, 4, 5, 6]):
            result = (await (await bare.connected()).subscribe(channel, recover=True, offset=offset))["subscribe"]
            assert (offsets(result) if result.get("recovered") else None) == expected


async def test_what_is_over_cannot_be_recovered(bare: Place) -> None:
    """The position lives on: whoever has everything has lost nothing."""
    rt = await bare.serve(insecure=True, namespaces=SPACES)
    for held in False, True:
        channel = "short:held" if held else "short:one"
        if held:
            await (await bare.connected()).subscribe(channel)
        epoch = await published(rt, channel, 3)
        await asyncio.sleep(0.3)
        for offset, recovered in (2, False), (3, True):
            request = {"recover": True, "offset": offset, "epoch": epoch}
            result = (await (await bare.connected()).subscribe(channel, **request))["subscribe"]
            assert (result["offset"], result.get("recovered", False), offsets(result)) == (3, recovered, [])


async def test_an_emptied_history(bare: Place) -> None:
    rt = await bare.serve(insecure=True, namespaces=SPACES)
    watching = await bare.connected()
    await watching.subscribe("one")
    epoch = await published(rt, "one", 3)
    await rt.history_remove("one")
    result = (await (await bare.connected()).subscribe("one", recover=True, offset=1, epoch=epoch))["subscribe"]
    assert "recovered" not in result
    assert (result["offset"], result["epoch"]) == (3, epoch)
    assert (await rt.publish("one", 4)).offset == 4
    await watching.until(lambda: [push["pub"]["offset"] for push in watching.pushes] == [1, 2, 3, 4])


async def test_who_gets_positions_and_recovery(bare: Place) -> None:
    await bare.serve(anonymous=True, namespaces={
        "": READABLE,
        "asked": Namespace(
            history=History(10, 60), allow_recovery=True, allow_positioning=True, allow_subscribe_for_client=True,
            allow_subscribe_for_anonymous=True,
        ),
        "deaf": Namespace(
            history=History(10, 60), allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True
        ),
    })  # fmt: skip
    peer = await bare.connected()
    for namespace, gets in ("", True), ("asked:", True), ("deaf:", False):
        for name, request, told in (
            ("1", {}, set()),
            ("2", {"positioned": True}, {"positioned", "epoch"}),
            ("3", {"recoverable": True}, {"positioned", "recoverable", "epoch"}),
            ("4", {"recover": True, "flag": 2}, {"was_recovering"}),
        ):
            result = (await peer.subscribe(f"{namespace}{name}", **request))["subscribe"]
            assert result.keys() == (told if gets else told & {"was_recovering"}), (namespace, name)


async def test_the_latest_alone(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES)
    for namespace, asked in ("latest", False), ("always", True):
        channel = f"{namespace}:one"
        result = (await (await place.connected()).subscribe(channel, recover=True))["subscribe"]
        assert result["was_recovering"]
        assert "recovered" not in result, "nothing is kept yet"
        epoch = await published(rt, channel, 3)
        result = (await (await place.connected()).subscribe(channel))["subscribe"]
        assert (offsets(result), result.get("recovered", False)) == (([3], True) if asked else ([], False))
        result = (await (await place.connected()).subscribe(channel, recover=True))["subscribe"]
        assert (offsets(result), result["recovered"], result["was_recovering"]) == ([3], True, True)
        assert "offset" not in result, "the client's, whose library goes on from there"
        for position, wanted in ((1, epoch), [3]), ((3, epoch), []), ((3, "other"), [3]):
            request = {"recover": True, "offset": position[0], "epoch": position[1]}
            result = (await (await place.connected()).subscribe(channel, **request))["subscribe"]
            assert (offsets(result), result["recovered"]) == (wanted, True)


async def test_reading_a_history(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES, bounds=Bounds(max_publications=7))
    peer = await place.connected()
    empty = (await peer.ask(history={"channel": "empty"}))["history"]
    assert empty.keys() == {"publications", "epoch", "offset"}
    assert (empty["publications"], empty["offset"], len(empty["epoch"])) == ([], 0, 8)
    assert (await peer.subscribe("empty"))["subscribe"]["epoch"] == empty["epoch"]
    epoch = await published(rt, "one", 12)  # of which 3 to 12 are kept
    for request, expected in (
        ({}, []),
        ({"limit": 2}, [3, 4]),
        ({"limit": -1}, [3, 4, 5, 6, 7, 8, 9]),
        ({"limit": 2, "reverse": True}, [12, 11]),
        ({"limit": -1, "reverse": True}, [12, 11, 10, 9, 8, 7, 6]),
        ({"limit": 2, "since": {"offset": 5, "epoch": epoch}}, [6, 7]),
        ({"limit": 2, "since": {"offset": 5}}, [6, 7]),
        ({"limit": 2, "since": {"offset": 1, "epoch": epoch}}, [3, 4]),
        ({"limit": 2, "since": {"offset": 12, "epoch": epoch}}, []),
        ({"limit": 2, "since": {"offset": 99, "epoch": epoch}}, []),
        ({"limit": 2, "since": {"offset": 5, "epoch": epoch}, "reverse": True}, [4, 3]),
        ({"limit": 2, "since": {"offset": 4, "epoch": epoch}, "reverse": True}, [3]),
        ({"limit": 2, "since": {"offset": 2, "epoch": epoch}, "reverse": True}, []),
        ({"limit": 2, "since": {"offset": 1}, "reverse": True}, []),
        ({"limit": 2, "since": {"offset": 13, "epoch": epoch}, "reverse": True}, [12, 11]),
        ({"limit": 2, "since": {"offset": 99, "epoch": epoch}, "reverse": True}, []),
        ({"since": {"offset": 5, "epoch": epoch}}, []),
    ):
        result = (await peer.ask(history={"channel": "one", **request}))["history"]
        assert [publication["offset"] for publication in result["publications"]] == expected, request
        assert (result["offset"], result["epoch"]) == (12, epoch)
        assert [publication["data"] for publication in result["publications"]] == expected
    other = {"offset": 5, "epoch": "other"}
    assert (await peer.ask(history={"channel": "one", "limit": 1, "since": other}))["error"]["code"] == 112
    assert (await peer.ask(history={"channel": "one", "since": other}))["error"]["code"] == 112
    everything = await rt.history("one", limit=-1)
    assert len(everything.publications) == 10, "the program has no limit"
    with pytest.raises(Fault, match="112"):
        await rt.history("one", limit=1, since=Position(5, "other"))


async def test_paging_there_and_back(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES)
    await published(rt, "one", 10)
    peer = await place.connected()
    for reverse in False, True:
        seen: list[int] = []
        since: dict[str, Any] = {}
        while True:
            request = {"channel": "one", "limit": 3, "reverse": reverse, **since}
            page = (await peer.ask(history=request))["history"]
            if not page["publications"]:
                break
            seen += [publication["offset"] for publication in page["publications"]]
            since = {"since": {"offset": seen[-1], "epoch": page["epoch"]}}
        assert seen == sorted(range(1, 11), reverse=reverse)
