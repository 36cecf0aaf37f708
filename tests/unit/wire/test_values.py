"""The query and the cookies of a request, as browsers and as hostile peers send them."""

from __future__ import annotations

import pytest

from hubbub.wire import Headers, Request, Values, query_of


def request(target: str = "/", *cookies: str) -> Request:
    return Request(target, Headers([("host", "test"), *(("cookie", line) for line in cookies)]))


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("room=1", [("room", "1")]),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("name=J%C3%B6rg+M%26M", [("name", "Jörg M&M")]),
        ("flag&empty=&=nameless", [("flag", ""), ("empty", ""), ("", "nameless")]),
        ("a=b=c;d=e", [("a", "b=c;d=e")]),
        ("bad=%ff%C3&half=%2&none=%zz", [("bad", "\ufffd\ufffd"), ("half", "%2"), ("none", "%zz")]),
        ("nul=%00&line=%0d%0a", [("nul", "\0"), ("line", "\r\n")]),
        ("surrogate=%ed%a0%80", [("surrogate", "\ufffd" * 3)]),
        ("x?y=z", [("x?y", "z")]),
    ],
)
def test_a_query_is_decoded_whatever_is_in_it(query: str, pairs: list[tuple[str, str]]) -> None:
    asked = request(f"/chat?{query}")
    assert asked.query.pairs() == pairs
    assert (asked.path, asked.target) == ("/chat", f"/chat?{query}")


def test_of_several_values_the_first_counts_and_all_can_be_had() -> None:
    query = request("/?tag=a&tag=b&room=1").query
    assert (query["tag"], query.get("tag"), query.get_all("tag")) == ("a", "a", ["a", "b"])
    assert (query.get("Tag"), query.get_all("none"), "tag" in query, 3 in query) == (None, [], True, False)
    assert (list(query), len(query), dict(query)) == (["tag", "room"], 2, {"tag": "a", "room": "1"})
    with pytest.raises(KeyError):
        query["none"]


def test_a_query_is_read_once() -> None:
    asked = request("/?a=1")
    assert asked.query is asked.query


@pytest.mark.parametrize(
    ("lines", "pairs"),
    [
        ([], []),
        (["session=abc"], [("session", "abc")]),
        (["a=1; b=2;c=3 ;  d = 4"], [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]),
        (["a=1", "b=2; a=3"], [("a", "1"), ("b", "2"), ("a", "3")]),
        (["Case=1; case=2"], [("Case", "1"), ("case", "2")]),
        (["a=b=c; token=%2B+"], [("a", "b=c"), ("token", "%2B+")]),
        (["nameless; =empty; ; a="], [("a", "")]),
        ([r'q="a\"b\\c\054d"; open="x; two=""'], [("q", r'a"b\c,d'), ("open", '"x'), ("two", "")]),
        (['single="'], [("single", '"')]),
        ([r'end="\"'], [("end", "\\")]),
        (["$Version=1; a=\xe9"], [("$Version", "1"), ("a", "\xe9")]),
    ],
)  # fmt: skip
def test_cookies_are_read_whatever_is_in_them(lines: list[str], pairs: list[tuple[str, str]]) -> None:
    assert request("/", *lines).cookies.pairs() == pairs


def test_values_as_long_as_a_request_may_be_are_read_at_once() -> None:
    assert len(query_of("&".join(f"a{n}" for n in range(2000)))) == 2000
    assert len(request("/", 'a="' + '\\"' * 4000 + '"').cookies["a"]) == 4000


def test_headers_ignore_the_case_of_names_and_join_what_is_repeated() -> None:
    headers = Headers([("accept", "a"), ("x-note", "1"), ("accept", "b")])
    assert (headers["Accept"], headers.get_all("ACCEPT"), "X-Note" in headers) == ("a, b", ["a", "b"], True)
    assert isinstance(headers, Values)
