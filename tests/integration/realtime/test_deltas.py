"""Subscriptions that get patches, and those that choose by tags."""

from __future__ import annotations

import json
from typing import Any

from centrifuge.fossil import apply_delta

from hubbub.brokers import Position
from hubbub.realtime import History, Namespace, Realtime
from support.session_client import Peer

from .conftest import Place

PATCHED = Namespace(
    history=History(20, 60), force_recovery=True, allowed_delta_types=("fossil",), delta_publish=True,
    allow_tags_filter=True,
)  # fmt: skip
LATEST = Namespace(
    history=History(20, 60), force_recovery=True, allowed_delta_types=("fossil",), delta_publish=True,
    force_recovery_mode="cache",
)  # fmt: skip
SPACES = {"": PATCHED, "latest": LATEST}
LONG = "a text that is the same in each of them " * 5


def document(number: int) -> dict[str, Any]:
    return {"text": LONG, "number": number, "emoji": "🐙é"}


class Reader:
    """What a client library makes of its publications."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.base: bytes | None = None

    def read(self, publication: dict[str, Any]) -> Any:
        data = publication["data"]
        if publication.get("delta"):
            assert self.base is not None, "a patch of nothing"
            self.base = bytes(apply_delta(self.base, data.encode()))
        else:
            self.base = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
            if not self.peer.protobuf:
                assert isinstance(data, str), "in JSON the text of the document"
                self.base = data.encode()
        return json.loads(self.base)

    def all(self) -> list[int]:
        return [self.read(publication)["number"] for publication in self.peer.got.get("one", ())]


async def publish(rt: Realtime, *numbers: int, **how: Any) -> str:
    for number in numbers:
        epoch = (await rt.publish("one", document(number), **how)).epoch
    return epoch


def kinds(peer: Peer) -> list[bool]:
    return [publication.get("delta", False) for publication in peer.got.get("one", ())]


async def test_first_whole_then_patches(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES)
    first, plain = await place.connected(), await place.connected()
    assert (await first.subscribe("one", delta="fossil"))["subscribe"]["delta"] is True
    assert "delta" not in (await plain.subscribe("one"))["subscribe"]
    await publish(rt, 1, 2)
    late = await place.connected()
    await late.subscribe("one", delta="fossil")
    await publish(rt, 3, 4)
    await late.until(lambda: len(late.got.get("one", ())) == 2)
    await first.until(lambda: len(first.got["one"]) == 4)
    await plain.until(lambda: len(plain.got["one"]) == 4)
    assert (kinds(first), Reader(first).all()) == ([False, True, True, True], [1, 2, 3, 4])
    assert (kinds(late), Reader(late).all()) == ([False, True], [3, 4])
    assert plain.bodies("one") == [document(number) for number in (1, 2, 3, 4)]


async def test_recovered_ones_are_patches_too_and_go_on(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES)
    epoch = await publish(rt, 1, 2, 3, 4)
    watching = await place.connected()
    await watching.subscribe("one", delta="fossil")
    await publish(rt, 5)
    for offset in 0, 2, 4, 5:
        peer = await place.connected()
        await peer.subscribe("one", delta="fossil", recover=True, offset=offset, epoch=epoch)
        missed = list(range(offset + 1, 6))
        assert kinds(peer) == [number > 0 for number in range(len(missed))]
        await publish(rt, 6)
        await peer.until(lambda: len(peer.got.get("one", ())) == len(missed) + 1)  # noqa: B023
        await watching.until(lambda: Reader(watching).all()[-1] == 6)
        assert Reader(peer).all() == [*missed, 6]
        assert kinds(peer)[-1] is bool(missed)
        await publish(rt, 5)
        await rt.history_remove("one")
        for number in 1, 2, 3, 4, 5:
            epoch = await publish(rt, number)
        break


async def test_the_latest_and_then_patches(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES)
    for number in 1, 2:
        epoch = (await rt.publish("latest:one", document(number))).epoch
    for position, first in ((0, ""), 2), ((2, epoch), None):
        peer = await place.connected()
        request = {"recover": True, "offset": position[0], "epoch": position[1]}
        result = (await peer.subscribe("latest:one", delta="fossil", **request))["subscribe"]
        assert result["recovered"]
        number = (await rt.publish("latest:one", document(3))).offset
        await peer.until(lambda: peer.got["latest:one"][-1]["offset"] == number)  # noqa: B023
        reader = Reader(peer)
        numbers = [reader.read(publication)["number"] for publication in peer.got["latest:one"]]
        assert numbers == ([2, 3] if first else [3])
        await rt.publish("latest:one", document(1))
        epoch = (await rt.publish("latest:one", document(2))).epoch
        break


async def test_what_is_not_kept_is_a_document_as_well(place: Place) -> None:
    """The next patch is one of what the client has, whoever else has come meanwhile."""
    rt = await place.serve(insecure=True, namespaces=SPACES)
    peer = await place.connected()
    await peer.subscribe("one", delta="fossil")
    epoch = await publish(rt, 1, 2)
    await rt.publish("one", document(100), history=False)
    await peer.until(lambda: len(peer.got.get("one", ())) == 3)
    other = await place.connected()
    await other.subscribe("one", delta="fossil", recover=True, offset=1, epoch=epoch)
    await publish(rt, 3, 4)
    await peer.until(lambda: len(peer.got.get("one", ())) == 5)
    await other.until(lambda: len(other.got.get("one", ())) == 3)
    assert Reader(peer).all() == [1, 2, 100, 3, 4]
    assert Reader(other).all() == [2, 3, 4]


async def test_patches_only_where_they_are_wished_and_smaller(place: Place) -> None:
    wished = Namespace(history=History(9, 60), force_recovery=True, allowed_delta_types=("fossil",))
    rt = await place.serve(insecure=True, namespaces={"": wished})
    peer = await place.connected()
    await peer.subscribe("one", delta="fossil")
    await publish(rt, 1, 2)
    await publish(rt, 3, 4, delta=True)
    await rt.publish("one", {"number": 5}, delta=True)
    await peer.until(lambda: len(peer.got.get("one", ())) == 5)
    assert kinds(peer) == [False, False, True, True, False]
    assert Reader(peer).all() == [1, 2, 3, 4, 5]


async def test_choosing_by_tags(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=SPACES)
    peer, everything = await place.connected(), await place.connected()
    chosen = {"key": "kind", "cmp": "eq", "val": "good"}
    await rt.publish("one", 0, tags={"kind": "good"})
    epoch = (await rt.publish("one", 1, tags={"kind": "bad"})).epoch
    await everything.subscribe("one")
    result = (await peer.subscribe("one", tf=chosen, recover=True, offset=0, epoch=epoch))["subscribe"]
    assert [publication["data"] for publication in result["publications"]] == [0]
    for number, kind in (2, "bad"), (3, "good"), (4, "bad"), (5, "good"):
        await rt.publish("one", number, tags={"kind": kind})
    await everything.until(lambda: everything.bodies("one") == [2, 3, 4, 5])
    await peer.until(lambda: peer.bodies("one") == [0, 3, 5])
    assert everything.got["one"][0]["tags"] == {"kind": "bad"}
    delta = await place.connected()
    assert "delta" not in (await delta.subscribe("one", tf=chosen, delta="fossil"))["subscribe"]
    for broken in {"op": "neither"}, {"key": "a", "cmp": "about"}, {"op": "and", "nodes": [{"cmp": "x"}]}:
        reply = await everything.ask(subscribe={"channel": "two", "tf": broken})
        assert reply["error"]["code"] == 107


async def test_what_is_no_json_is_for_protobuf(bare: Place) -> None:
    binary = Namespace(history=History(9, 60), force_recovery=True, publication_data_format="binary")
    rt = await bare.serve(insecure=True, namespaces={"": binary})
    peer, late = await bare.connected(), await bare.connected()
    await peer.subscribe("one")
    epoch = (await rt.publish("one", b"1")).epoch
    await rt.publish("one", b"\xff\x00")
    if bare.protobuf:
        await peer.until(lambda: peer.bodies("one") == [1, "\xff\x00"])
        await late.subscribe("one", recover=True, offset=1, epoch=epoch)
        assert late.bodies("one") == ["\xff\x00"]
    else:
        assert await peer.ended() == 3506
        await late.send({"id": 9, "subscribe": {"channel": "one", "recover": True, "offset": 0, "epoch": epoch}})
        assert await late.ended() == 3506
        reader = await bare.connected()
        await reader.send({"id": 9, "history": {"channel": "one", "limit": -1}})
        assert await reader.ended() == 3506
    kept = await rt.history("one", limit=-1, since=Position(1, epoch))
    assert bytes(kept.publications[0].data) == b"\xff\x00"
