"""A publication, in each form that subscribers get."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from hubbub.realtime import fossil
from hubbub.realtime.protocol import JSON, PROTOBUF, Dialect, Publication
from hubbub.realtime.protocol.replies import ClientInfo
from hubbub.realtime.publications import LARGEST, full, patched, plain

BEFORE = json.dumps({"score": 1, "names": ["Zoë"] * 20}).encode()
AFTER = json.dumps({"score": 2, "names": ["Zoë"] * 20}).encode()
PUBLICATION = Publication(data=Raw(AFTER), offset=7, tags={"a": "b"}, info=ClientInfo(user="u", client="c"))


def test_a_push_has_all_that_there_is() -> None:
    assert json.loads(plain(JSON, "ch", PUBLICATION)) == {
        "push": {
            "channel": "ch",
            "pub": {
                "data": json.loads(AFTER),
                "info": {"user": "u", "client": "c"},
                "offset": 7,
                "tags": {"a": "b"},
            },
        }
    }


def test_in_json_a_document_that_may_be_patched_is_a_text() -> None:
    pushed = json.loads(plain(JSON, "ch", full(PUBLICATION, JSON)))["push"]["pub"]
    assert pushed["data"] == AFTER.decode()
    assert "delta" not in pushed
    assert pushed["offset"] == 7


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
def test_a_patch_makes_the_document_of_the_one_before(dialect: Dialect) -> None:
    made = patched(PUBLICATION, BEFORE, dialect)
    assert made.delta
    assert (made.offset, made.tags, made.info) == (7, PUBLICATION.tags, PUBLICATION.info)
    data = json.loads(bytes(made.data)).encode() if dialect is JSON else bytes(made.data)
    assert fossil.apply(BEFORE, data) == AFTER


@pytest.mark.parametrize("before", [b"", b"x", b"x" * (LARGEST + 1)])
def test_a_patch_that_is_not_smaller_is_not_sent(before: bytes) -> None:
    assert patched(PUBLICATION, before, JSON) == full(PUBLICATION, JSON)


def test_a_document_that_is_too_large_is_sent_in_full() -> None:
    large = Publication(data=Raw(b'"%s"' % (b"x" * LARGEST)))
    assert patched(large, b'"x"', JSON) == full(large, JSON)
