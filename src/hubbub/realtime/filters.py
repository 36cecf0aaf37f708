"""Filters by tags: which publications a subscriber has asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import ge, gt, le, lt
from typing import TypeAlias

from hubbub.realtime.protocol import Errors, Fault
from hubbub.realtime.protocol.commands import FilterNode

__all__ = ["MOST_NODES", "Filter", "filter_for"]

MOST_NODES = 256
"""Conditions of one filter, and of the values in them. At the limit: error 107."""

Filter: TypeAlias = Callable[[Mapping[str, str]], bool]
_Test: TypeAlias = Callable[[str], bool]

_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?\Z")
_COMPARED: dict[str, Callable[[Decimal, Decimal], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}


def filter_for(node: FilterNode) -> Filter:
    """What tells by a publication's tags whether a subscriber gets it.

    Raises: Fault: 107: a condition that is malformed, or too many of them.
    """
    if _size(node) > MOST_NODES:
        raise Fault(Errors.BAD_REQUEST, f"a filter of more than {MOST_NODES} conditions")
    return _made(node)


def _made(node: FilterNode) -> Filter:
    inner = [_made(one) for one in node.nodes]
    match node.op, inner:
        case "", []:
            return _condition(node)
        case "not", [one]:
            return lambda tags: not one(tags)
        case "and", [_, *_]:
            return lambda tags: all(one(tags) for one in inner)
        case "or", [_, *_]:
            return lambda tags: any(one(tags) for one in inner)
        case _:
            raise Fault(Errors.BAD_REQUEST, "a filter with an unknown operation, or of the wrong number of conditions")


def _condition(node: FilterNode) -> Filter:
    key, value, values = node.key, node.val, frozenset(node.vals)
    match node.cmp, bool(value), bool(values), bool(key):
        case "ex", False, False, _:
            return lambda tags: key in tags
        case "nex", False, False, _:
            return lambda tags: key not in tags
        case "in", False, True, True:
            return lambda tags: tags.get(key, "") in values
        case "nin", False, True, True:
            return lambda tags: tags.get(key, "") not in values
        case "neq", True, False, True:
            return lambda tags: tags.get(key) != value
        case _, True, False, True:
            test = _test(node.cmp, value)
            return lambda tags: key in tags and test(tags[key])
        case _:
            raise Fault(Errors.BAD_REQUEST, "a filter's condition with a value too many or too few, or without a key")


def _test(comparison: str, value: str) -> _Test:
    """What a tag that is there has to pass."""
    match comparison:
        case "eq":
            return lambda tag: tag == value
        case "sw":
            return lambda tag: tag.startswith(value)
        case "ew":
            return lambda tag: tag.endswith(value)
        case "ct":
            return lambda tag: value in tag
        case _:
            return _comparison(comparison, value)


def _comparison(comparison: str, value: str) -> _Test:
    """The same, for numbers: a tag that is none does not pass."""
    if (compared := _COMPARED.get(comparison)) is None:
        raise Fault(Errors.BAD_REQUEST, "a filter with an unknown comparison")
    number = _number(value)
    if number is None:
        return lambda _: False
    return lambda tag: (found := _number(tag)) is not None and compared(found, number)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.match(text) else None


def _size(node: FilterNode) -> int:
    """Conditions and values in it; of many no more are counted than are too many."""
    total, left = 0, [node]
    while left and total <= MOST_NODES:
        one = left.pop()
        total += 1 + len(one.vals)
        left += one.nodes
    return total
