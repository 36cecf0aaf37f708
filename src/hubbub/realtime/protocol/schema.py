"""The records as messages of Google's Protobuf runtime, made from their definitions: there is no generated code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Raw
from msgspec.structs import astuple, fields

from hubbub.errors import Misuse
from hubbub.realtime.protocol.commands import Command
from hubbub.realtime.protocol.records import Record
from hubbub.realtime.protocol.replies import Reply

__all__ = ["Unreadable", "parsed", "serialized"]

PACKAGE = "hubbub.realtime"
_Kind = TypeVar("_Kind", bound=Record)


class Unreadable(ValueError):
    """Bytes that are not such a message."""


def serialized(record: Record) -> bytes:
    """The record as a Protobuf message. Raises: Misuse: the package protobuf is not installed."""
    message: bytes = _runtime().classes[type(record).__name__](**_plain(record)).SerializeToString()
    return message


def parsed(data: bytes, kind: type[_Kind]) -> _Kind:
    """The record that a Protobuf message stands for; what is not known is passed over.

    Raises:
        Unreadable: it is no such message.
        Misuse: the package protobuf is not installed.
    """
    runtime = _runtime()
    try:
        return _record(runtime.classes[kind.__name__].FromString(data), kind)
    except (runtime.error, ValueError) as error:
        raise Unreadable(str(error)) from None


class _Field(NamedTuple):
    """One field of a record."""

    name: str
    number: int
    default: Any  # NODEFAULT: it is written always
    kind: str | type[Record]  # "string", "uint32" and so on, or the record that it holds
    many: type | None  # list or dict, or None


class _Runtime(NamedTuple):
    classes: dict[str, Any]
    error: type[Exception]


def _plain(record: Record) -> dict[str, Any]:
    """What the runtime makes a message of."""
    made: dict[str, Any] = {}
    for value, (name, default, convert) in zip(astuple(record), _writers(type(record)), strict=True):
        if value is not default and value != default:
            made[name] = value if convert is None else convert(value)
    return made


def _record(message: Any, kind: type[_Kind]) -> _Kind:
    readers = _readers(kind)
    made: dict[str, Any] = {}
    for descriptor, value in message.ListFields():
        name = descriptor.name
        convert = readers[name]
        made[name] = value if convert is None else convert(value)
    for name, empty in _required(kind):
        if name not in made:
            made[name] = empty()
    return kind(**made)


@cache
def _required(kind: type[Record]) -> tuple[tuple[str, Callable[[], Any]], ...]:
    """The fields that have no default, and what makes an empty one: in Protobuf such a one is left out all the same."""

    def empty(field: _Field) -> Callable[[], Any]:
        if field.many is not None:
            return field.many
        inner = field.kind
        return {"string": str}.get(inner, int) if isinstance(inner, str) else lambda: parsed(b"", inner)

    return tuple((field.name, empty(field)) for field in _fields(kind) if field.default is NODEFAULT)


@cache
def _writers(kind: type[Record]) -> tuple[tuple[str, Any, Callable[[Any], Any] | None], ...]:
    """Of each field its name, its default, and how a value of it becomes Protobuf's."""
    return tuple((field.name, field.default, _converter(field, _plain, bytes)) for field in _fields(kind))


@cache
def _readers(kind: type[Record]) -> dict[str, Callable[[Any], Any] | None]:
    def reader(field: _Field) -> Callable[[Any], Any] | None:
        inner: Any = field.kind
        return _converter(field, lambda message: _record(message, inner), Raw)

    return {field.name: reader(field) for field in _fields(kind)}


def _converter(
    field: _Field, of_record: Callable[[Any], Any], of_bytes: Callable[[Any], Any]
) -> Callable[[Any], Any] | None:
    """How a field's value becomes the other side's; None: it is the same."""
    one = of_bytes if field.kind == "bytes" else None if isinstance(field.kind, str) else of_record
    if field.many is list:
        return list if one is None else lambda values: [one(value) for value in values]
    if field.many is dict:
        return dict if one is None else lambda values: {key: one(value) for key, value in values.items()}
    return one


@cache
def _fields(kind: type[Record]) -> tuple[_Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_field(field.name, hints[field.name], field) for field in fields(kind))


def _field(name: str, hint: Any, known: Any) -> _Field:
    type_, *marks = get_args(hint)
    number = next(mark for mark in marks if isinstance(mark, int))
    default = known.default if known.default_factory is NODEFAULT else known.default_factory()
    many = get_origin(type_)
    if many in (list, dict):
        type_ = get_args(type_)[-1]
    elif many in (Union, UnionType):
        many, (type_,) = None, (member for member in get_args(type_) if member is not NoneType)
    plain: Any = {str: "string", bool: "bool"}.get(type_, type_)
    return _Field(name, number, default, next((mark for mark in marks if isinstance(mark, str)), plain), many)


@cache
def _runtime() -> _Runtime:
    """The classes of all records, made when the first of them is wanted: only who speaks Protobuf needs the package."""
    try:
        descriptors: Any = import_module("google.protobuf.descriptor_pb2")
        pools: Any = import_module("google.protobuf.descriptor_pool")
        factory: Any = import_module("google.protobuf.message_factory")
        messages: Any = import_module("google.protobuf.message")
    except ImportError:
        raise Misuse("Protobuf needs the package protobuf: pip install 'hubbub[realtime]'") from None
    file = descriptors.FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    for kind in sorted(_reachable(Command, Reply), key=lambda kind: kind.__name__):
        _describe(file.message_type.add(name=kind.__name__), _fields(kind), descriptors.FieldDescriptorProto)
    pool = pools.DescriptorPool()
    pool.Add(file)
    classes = factory.GetMessageClassesForFiles([file.name], pool)
    return _Runtime({name.removeprefix(f"{PACKAGE}."): made for name, made in classes.items()}, messages.DecodeError)


def _describe(message: Any, wanted: tuple[_Field, ...], descriptor: Any) -> None:
    """Put these fields into the description of a message. A map is a list of pairs of a kind of its own."""
    for field in wanted:
        described = message.field.add(name=field.name, number=field.number)
        described.label = descriptor.LABEL_REPEATED if field.many else descriptor.LABEL_OPTIONAL
        if field.many is dict:
            words = [word.capitalize() for word in field.name.split("_")]
            pair = message.nested_type.add(name="".join((*words, "Entry")))
            pair.options.map_entry = True
            halves = _Field("key", 1, "", "string", None), _Field("value", 2, None, field.kind, None)
            _describe(pair, halves, descriptor)
            described.type = descriptor.TYPE_MESSAGE
            described.type_name = f".{PACKAGE}.{message.name}.{pair.name}"
        elif isinstance(field.kind, str):
            described.type = getattr(descriptor, f"TYPE_{field.kind.upper()}")
        else:
            described.type = descriptor.TYPE_MESSAGE
            described.type_name = f".{PACKAGE}.{field.kind.__name__}"


def _reachable(*kinds: type[Record]) -> Iterator[type[Record]]:
    """These records, and all that they hold."""
    found: list[type[Record]] = list(kinds)
    for kind in found:
        yield kind
        for field in _fields(kind):
            if not isinstance(field.kind, str) and field.kind not in found:
                found.append(field.kind)
