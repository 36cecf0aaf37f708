"""Whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass

from hubbub.load.rooms import Rooms


@dataclass
class Somebody:
    name: str
    willing: bool = True


def test_rooms_take_turns_and_so_do_their_members() -> None:
    rooms: Rooms[Somebody] = Rooms()
    people = {name: Somebody(name) for name in ("a1", "b1", "a2", "b2", "b3")}
    for name, somebody in people.items():
        rooms.add(ord(name[0]), somebody)

    def names(count: int) -> list[str | None]:
        return [somebody.name if (somebody := rooms.next()) is not None else None for _ in range(count)]

    assert names(8) == ["a1", "b1", "a2", "b2", "a1", "b3", "a2", "b1"]
    people["a2"].willing = False
    assert names(6) == ["a1", "b2", "a1", "b3", "a1", "b1"]
    people["a1"].willing = False
    assert names(4) == [None, "b2", None, "b3"]


def test_where_nobody_is_nobody_publishes() -> None:
    assert Rooms[Somebody]().next() is None
