"""What one socket is a member of. Most are in one channel, and a dict of one entry would be a tenth of all memory that
such a connection takes: so it is nothing, then one Seat, and a dict only from the second channel on.

Changed under the lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    from hubbub.hub.channel import Channel, Seat

__all__ = ["Memberships", "among", "every", "with_one", "without"]

Memberships: TypeAlias = Union["dict[Channel, Seat]", "Seat", None]


def among(memberships: Memberships, channel: Channel) -> Seat | None:
    """The one in that channel."""
    if isinstance(memberships, dict):
        return memberships.get(channel)
    return memberships if memberships is not None and memberships.shard.channel is channel else None


def every(memberships: Memberships) -> list[Seat]:
    """All of them, in the order of joining."""
    if isinstance(memberships, dict):
        return list(memberships.values())
    return [] if memberships is None else [memberships]


def with_one(memberships: Memberships, member: Seat) -> Memberships:
    """These and one more, in another channel."""
    if memberships is None:
        return member
    if not isinstance(memberships, dict):
        memberships = {memberships.shard.channel: memberships}
    memberships[member.shard.channel] = member
    return memberships


def without(memberships: Memberships, member: Seat) -> Memberships:
    """These without that one of them."""
    if not isinstance(memberships, dict):
        return None
    del memberships[member.shard.channel]
    return memberships or None
