"""Filters by tags."""

from __future__ import annotations

import pytest

from hubbub.realtime.filters import MOST_NODES, filter_for
from hubbub.realtime.protocol import Errors, Fault
from hubbub.realtime.protocol.commands import FilterNode

TAGS = {"kind": "stock", "price": "10.50", "empty": "", "word": "12a"}


def leaf(cmp: str, key: str = "kind", val: str = "", vals: list[str] | None = None) -> FilterNode:
    return FilterNode(cmp=cmp, key=key, val=val, vals=vals or [])


@pytest.mark.parametrize(
    ("node", "matches"),
    [
        (leaf("eq", val="stock"), True),
        (leaf("eq", val="bond"), False),
        (leaf("eq", "none", "x"), False),
        (leaf("neq", val="stock"), False),
        (leaf("neq", val="bond"), True),
        (leaf("neq", "none", "x"), True),
        (leaf("in", vals=["bond", "stock"]), True),
        (leaf("in", vals=["bond"]), False),
        (leaf("in", "none", vals=[""]), True),
        (leaf("nin", vals=["bond"]), True),
        (leaf("nin", "none", vals=[""]), False),
        (leaf("ex"), True),
        (leaf("ex", "empty"), True),
        (leaf("ex", "none"), False),
        (leaf("ex", ""), False),
        (leaf("nex", "none"), True),
        (leaf("sw", val="st"), True),
        (leaf("sw", "none", "st"), False),
        (leaf("ew", val="ck"), True),
        (leaf("ct", val="toc"), True),
        (leaf("ct", val="tic"), False),
        (leaf("gt", "price", "10.5"), False),
        (leaf("gte", "price", "10.5"), True),
        (leaf("gt", "price", "9"), True),
        (leaf("lt", "price", "9"), False),
        (leaf("lt", "price", "100"), True),
        (leaf("lte", "price", "10.500"), True),
        (leaf("gt", "price", "-1"), True),
        (leaf("gt", "word", "1"), False),
        (leaf("lt", "word", "1"), False),
        (leaf("gt", "none", "1"), False),
        (leaf("gt", "price", "abc"), False),
        (leaf("gt", "price", "1e1"), False),
        (FilterNode(op="and", nodes=[leaf("ex"), leaf("ex", "price")]), True),
        (FilterNode(op="and", nodes=[leaf("ex"), leaf("ex", "none")]), False),
        (FilterNode(op="or", nodes=[leaf("ex", "none"), leaf("ex")]), True),
        (FilterNode(op="or", nodes=[leaf("ex", "none")]), False),
        (FilterNode(op="not", nodes=[leaf("ex", "none")]), True),
        (FilterNode(op="not", nodes=[FilterNode(op="not", nodes=[leaf("ex")])]), True),
    ],
)
def test_which_publications_match(node: FilterNode, matches: bool) -> None:
    assert filter_for(node)(TAGS) is matches


@pytest.mark.parametrize(
    "node",
    [
        FilterNode(),
        leaf("like", val="x"),
        leaf("eq"),
        leaf("eq", "", "x"),
        leaf("eq", val="x", vals=["y"]),
        leaf("in"),
        leaf("in", val="x", vals=["y"]),
        leaf("in", "", vals=["y"]),
        leaf("ex", val="x"),
        leaf("nex", vals=["x"]),
        FilterNode(op="xor", nodes=[leaf("ex")]),
        FilterNode(op="and"),
        FilterNode(op="or"),
        FilterNode(op="not"),
        FilterNode(op="not", nodes=[leaf("ex"), leaf("ex")]),
        FilterNode(op="and", nodes=[leaf("ex"), leaf("eq")]),
        FilterNode(cmp="ex", key="a", nodes=[leaf("ex")]),
        FilterNode(op="or", nodes=[leaf("ex")] * MOST_NODES),
        leaf("in", vals=["x"] * MOST_NODES),
    ],
)
def test_what_is_no_filter(node: FilterNode) -> None:
    with pytest.raises(Fault) as raised:
        filter_for(node)
    assert raised.value.verdict is Errors.BAD_REQUEST


def test_the_largest_filter() -> None:
    assert filter_for(FilterNode(op="and", nodes=[leaf("ex")] * (MOST_NODES - 1)))(TAGS)
