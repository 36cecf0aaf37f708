"""A publication, in each form that subscribers get."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from hubbub.realtime import fossil
from hubbub.realtime.protocol import JSON, PROTOBUF, Dialect, Publication
from hubbub.realtime.protocol.replies import ClientInfo
from hubbub.realtime.publications import LARGEST, full, patch, patched, plain, recovered

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


def document(publication: Publication, dialect: Dialect) -> bytes:
    data = bytes(publication.data)
    return str(json.loads(data)).encode() if dialect is JSON else data


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
def test_a_patch_makes_the_document_of_the_one_before(dialect: Dialect) -> None:
    made = patched(PUBLICATION, patch(BEFORE, AFTER), dialect)
    assert made.delta
    assert (made.offset, made.tags, made.info) == (7, PUBLICATION.tags, PUBLICATION.info)
    assert fossil.apply(BEFORE, document(made, dialect)) == AFTER


@pytest.mark.parametrize("before", [b"", b"x", b"x" * (LARGEST + 1)])
def test_a_patch_that_is_not_smaller_is_none(before: bytes) -> None:
    assert patch(before, AFTER) is None
    assert patched(PUBLICATION, None, JSON) == full(PUBLICATION, JSON)


def test_a_document_that_is_too_large_is_not_patched() -> None:
    assert patch(b'"x"', b'"%s"' % (b"x" * LARGEST)) is None


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
def test_of_what_is_recovered_the_first_is_full_and_the_rest_are_patches(dialect: Dialect) -> None:
    documents = [BEFORE, AFTER, b"{}", AFTER]
    made = recovered([Publication(data=Raw(data), offset=at) for at, data in enumerate(documents, 1)], dialect)
    assert [publication.delta for publication in made] == [False, True, False, False]
    have = b""
    for publication, wanted in zip(made, documents, strict=True):
        said = document(publication, dialect)
        have = fossil.apply(have, said) if publication.delta else said
        assert have == wanted
    assert recovered([], dialect) == []


@pytest.mark.parametrize("data", [b"\xff", b'"\xc3"'])
def test_what_is_no_text_cannot_be_a_document_in_json(data: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        full(Publication(data=Raw(data)), JSON)
    assert full(Publication(data=Raw(data)), PROTOBUF).data == Raw(data)
