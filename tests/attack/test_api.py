"""The HTTP API against those who have no key, bodies without end, and JSON that is none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hubbub import Limits, Misuse
from hubbub.api import Api, endpoint
from hubbub.realtime import Denied, History, Namespace, Realtime

KEY = "a key, with ü"
GOOD = {"x-api-key": KEY}


@contextlib.asynccontextmanager
async def api(**settings: Any) -> AsyncIterator[Api]:
    rt = Realtime(broker="memory:", namespaces={"": Namespace(history=History(10, 60), presence=True)})
    yield Api(rt, **{"key": KEY, **settings})
    await rt.close()


async def ask(
    api: Api,
    path: str,
    *parts: bytes,
    headers: dict[str, str] = GOOD,
    query: str = "",
    method: str = "POST",
    ends: bool = True,
) -> tuple[int, dict[str, str], bytes, int]:
    """Status, headers and body of the answer, and how many parts of the request were read."""
    waiting, read, sent = list(parts or (b"",)), 0, list[Any]()

    async def receive() -> dict[str, Any]:
        nonlocal read
        if waiting:
            read += 1
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or not ends}
        if ends:
            return {"type": "http.disconnect"}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await api(scope, receive, send)
    start, body = sent
    said = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(said["content-length"]) == len(body["body"])
    return start["status"], said, body["body"], read


BODY = b'{"channel": "room", "data": 1}'


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"x-api-key": ""}, ""),
        ({"x-api-key": "wrong"}, ""),
        ({"x-api-key": KEY[:-1]}, ""),
        ({"x-api-key": KEY + "x"}, ""),
        ({"authorization": KEY}, ""),
        ({"authorization": f"bearer {KEY}"}, ""),
        ({"authorization": "apikey"}, ""),
        ({"authorization": "apikey wrong"}, ""),
        ({}, "api_key=wrong"),
        ({}, "api_key="),
        ({}, "api_key=%ff%00"),
        ({}, "api_key=wrong&api_key=a%20key%2C%20with%20%C3%BC"),
        ({"x-api-key": "wrong", "authorization": f"apikey {KEY}"}, ""),
        ({}, "x" * 100_000 + "&api_key=a%20key%2C%20with%20%C3%BC"),
    ],
)
async def test_who_has_not_the_key_gets_401_and_is_not_read(headers: dict[str, str], query: str) -> None:
    async with api() as asked:
        status, said, body, read = await ask(asked, "/api/publish", BODY, headers=headers, query=query)
        assert (status, body, read) == (401, b"", 0)
        assert said["connection"] == "close"
        assert asked.counts.refused == 1


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"x-api-key": KEY}, ""),
        ({"authorization": f"apikey {KEY}"}, ""),
        ({"authorization": f"ApiKey   {KEY}"}, ""),
        ({}, "api_key=a%20key%2C%20with%20%C3%BC"),
        ({"x-api-key": "wrong"}, "other=1&api_key=a%20key%2C%20with%20%C3%BC"),
    ],
)
async def test_all_ways_of_giving_the_key(headers: dict[str, str], query: str) -> None:
    async with api() as asked:
        assert (await ask(asked, "/api/publish", BODY, headers=headers, query=query))[0] == 200


async def test_without_a_key_nobody_is_let_in() -> None:
    async with api(key="") as asked:
        for headers in ({}, {"x-api-key": ""}, {"authorization": "apikey "}):
            assert (await ask(asked, "/api/publish", BODY, headers=headers, query="api_key="))[0] == 401
    with pytest.raises(Misuse, match="a text"):
        Api(Realtime(), key=None)  # type: ignore[arg-type]


async def test_where_no_key_is_needed_pages_in_browsers_are_not_let_in() -> None:
    async with api(insecure=True) as asked:
        assert (await ask(asked, "/api/publish", BODY, headers={}))[0] == 200
        assert (await ask(asked, "/api/publish", BODY, headers={"origin": "http://localhost"}))[0] == 401


async def test_other_methods_and_paths() -> None:
    async with api() as asked:
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            assert (await ask(asked, "/api/publish", method=method))[0] == 405
        for path in ("/api/nothing", "/api/publish/", "/api/", "/api/../publish", "/api/Publish", "/api/_command"):
            assert (await ask(asked, path, BODY))[0] == 404
        assert not asked.serves({"path": "/apiary"})


async def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    async with api(max_body=1000) as asked:
        status, said, _, read = await ask(asked, "/api/publish", BODY, headers={**GOOD, "content-length": "1001"})
        assert (status, read) == (413, 0)
        assert said["connection"] == "close"
        parts = [b"x" * 400] * 100
        status, _, _, read = await ask(asked, "/api/publish", *parts)
        assert (status, read) == (413, 3)
        status, _, _, _ = await ask(asked, "/api/publish", b"x" * 1001)
        assert status == 413
        exact = json.dumps({"channel": "room", "data": "x" * 969}).encode()
        assert len(exact) == 1000
        assert (await ask(asked, "/api/publish", exact, headers={**GOOD, "content-length": "1000"}))[0] == 200


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_TIMEOUT", 0.02)
    async with api() as asked:
        assert (await ask(asked, "/api/publish", b"{", ends=False))[0] == 408


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"1", b'"x"', b"{", b'{"channel": 1}', b'{"channel": "a", "data": }', b"\xff\xfe",
        b'{"channel": "\xff", "data": 1}', b'{"channel": "a", "data": "\xff"}',
        b'{"channel": "a", "data": 1} x', b'{"channel": "a", "tags": {"a": 1}}',
        b'{"channel": "a", "data": 1, "version": -1}', b'{"channel": "a", "data": 1, "version": 1.5}',
        b'{"channel": "a", "data": 1, "version": 99999999999999999999999}', b"[" * 100_000,
        b'{"channel": "a", "data": ' + b"[" * 100_000 + b"}", b'{"data": {"a": 1, }, "channel": "a"}',
    ],
)  # fmt: skip
async def test_what_is_no_json_or_of_another_type_gets_400(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with api() as asked:
        for path in ("/api/publish", "/api/broadcast") if body != b'{"channel": 1}' else ("/api/publish",):
            assert (await ask(asked, path, body))[0] == 400, path
    assert not caplog.records


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"x", b"{} x", b'{"method": 1.5}', b'{"method": "publish", "params": []}', b"[{}]", b"null"],
)
async def test_the_old_form_with_what_is_no_command_gets_400(body: bytes) -> None:
    async with api() as asked:
        assert (await ask(asked, "/api", body))[0] == 400


@pytest.mark.parametrize("method", ["publish", "batch", "history", "subscribe", "info", "disconnect"])
async def test_unknown_fields_and_nulls_are_as_if_they_were_not_there(method: str) -> None:
    async with api() as asked:
        known: dict[str, Any] = {
            "publish": {"data": None, "tags": None, "version": None, "b64data": None},
            "batch": {"commands": None, "parallel": None},
            "history": {"limit": None, "since": None, "reverse": None},
            "subscribe": {"user": None, "override": None, "recover_since": None, "expire_at": None},
            "info": {},
            "disconnect": {"user": None, "whitelist": None, "disconnect": None},
        }[method]
        status, _, body, _ = await ask(
            asked, f"/api/{method}", json.dumps({"channel": "room", **known, "unknown": [1]}).encode()
        )
        assert status == 200
        assert b'"error"' not in body


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("publish", {"channel": "x" * 300, "data": 1}),
        ("publish", {"channel": "room", "b64data": "no base64"}),
        ("publish", {"channel": "\ud800", "data": 1}),
        ("broadcast", {"channels": None, "data": 1}),
        ("broadcast", {"channels": [], "data": 1}),
        ("history", {"channel": "room", "limit": 1, "reverse": True, "since": {"offset": 0}}),
        ("disconnect", {"disconnect": {"code": 999}}),
        ("disconnect", {"disconnect": {"code": 5000}}),
        ("disconnect", {"disconnect": {"code": 4000, "reason": "x" * 1000}}),
    ],
)
async def test_wrong_values_get_an_error_and_leave_no_traceback(
    method: str, request_: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with api() as asked:
        status, _, body, _ = await ask(asked, f"/api/{method}", json.dumps(request_).encode())
        if status == 200:
            assert json.loads(body)["error"]["code"] in (100, 107), body
        else:
            assert status == 400
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_broadcast_says_of_each_channel_what_is_wrong_with_it() -> None:
    async with api() as asked:
        body = json.dumps({"channels": ["a", "", "nowhere:a", "b"], "data": 1}).encode()
        responses = json.loads((await ask(asked, "/api/broadcast", body))[2])["result"]["responses"]
        assert [one.get("error", {}).get("code") for one in responses] == [None, 107, 102, None]
        body = json.dumps({"channels": ["a", "b"], "b64data": "?"}).encode()
        assert json.loads((await ask(asked, "/api/broadcast", body))[2])["error"]["code"] == 107


async def test_data_that_is_no_json_does_not_break_the_answers_that_hold_it() -> None:
    async with api() as asked:
        data = base64.b64encode(b"\x00\xff{").decode()
        await ask(asked, "/api/publish", json.dumps({"channel": "room", "b64data": data}).encode())
        _, _, body, _ = await ask(asked, "/api/history", b'{"channel": "room", "limit": -1}')
        assert json.loads(body)["result"]["publications"][0]["data"] == data


async def test_handlers_of_the_program_answer_and_what_they_raise_is_not_told() -> None:
    rt = Realtime(broker="memory:")
    asked = Api(rt, key=KEY)

    async def rpc(**request: Any) -> Any:
        return json.loads((await ask(asked, "/api/rpc", json.dumps(request).encode()))[2])

    assert (await rpc(method="add"))["error"]["code"] == 104

    @rt.rpc("add")
    def add(_: object, data: list[int]) -> int:
        return sum(data)

    @rt.rpc("fails")
    async def fails(_: object, data: Any) -> None:
        raise RuntimeError("secret")

    @rt.rpc("denies")
    async def denies(_: object, data: Any) -> None:
        raise Denied("not today", code=450)

    @rt.rpc("bytes")
    def raw(_: object, data: Any) -> bytes:
        return b"\xff"

    assert await rpc(method="add", params=[1, 2]) == {"result": {"data": 3}}
    assert (await rpc(method="add", params={}))["error"]["code"] == 107
    assert (await rpc(method="nothing"))["error"] == {"code": 104, "message": "not found"}
    assert (await rpc())["error"]["code"] == 107
    assert (await rpc(method="fails"))["error"] == {"code": 100, "message": "internal server error"}
    assert (await rpc(method="denies"))["error"] == {"code": 450, "message": "not today"}
    assert await rpc(method="bytes") == {"result": {"data": "/w=="}}
    await rt.close()


async def test_a_batch_or_broadcast_of_very_many_leaves_room_for_others() -> None:
    limits = Limits(max_outbox=1000)
    rt = Realtime(broker="memory:", limits=limits, namespaces={"": Namespace(history=History(10, 60))})
    asked = Api(rt, key=KEY)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    commands = [{"publish": {"channel": f"c{n % 7}", "data": n}} for n in range(5000)]
    _, _, body, _ = await ask(asked, "/api/batch", json.dumps({"commands": commands}).encode())
    offsets = [reply["publish"]["offset"] for reply in json.loads(body)["replies"]]
    assert offsets == [n // 7 + 1 for n in range(5000)]
    assert turns >= 9
    channels = [f"b{n}" for n in range(3000)]
    _, _, body, _ = await ask(asked, "/api/broadcast", json.dumps({"channels": channels, "data": 1}).encode())
    assert all(one["result"]["offset"] == 1 for one in json.loads(body)["result"]["responses"])
    task.cancel()
    await rt.close()


async def test_what_fails_again_and_again_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    rt = Realtime(broker="memory:")

    @rt.rpc("fails")
    def fails(_: object, data: Any) -> None:
        raise RuntimeError("\x1b[2J")

    asked = Api(rt, key=KEY)
    for _ in range(100):
        await ask(asked, "/api/rpc", b'{"method": "fails"}')
    assert 1 <= len(caplog.records) <= 22
    assert "\x1b" not in caplog.text
    await rt.close()


def test_all_known_codes_count_apart_and_others_together() -> None:
    from hubbub.api.counts import Counts

    counts = Counts(["publish"])
    for method, code in (("publish", 0), ("publish", 107), ("x", 107), ("y", 107), ("publish", 4001), ("publish", 401)):
        counts.add(method, code)
    assert counts.calls == {("publish", 0): 1, ("publish", 107): 1, ("unknown", 107): 2, ("publish", 400): 2}
