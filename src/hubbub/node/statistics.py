"""What a node counts, and the frozen snapshot of it in `Hub.statistics().broker`."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["BrokerStatistics", "Counts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerStatistics:
    """A node at one moment. Counts are since it was made, unless said."""

    broker: str
    """Its kind, as in the URL."""
    node: str
    """This process among the others, in hexadecimal digits; it changes when the process begins anew."""
    up: bool
    """There is a link to the broker now."""
    reason: str
    """Why there is none, or where it leads."""
    nodes: int
    """Processes that are known to live now, this one included."""
    lines: int
    """Channels that somebody here is subscribed to now."""
    outbox: int
    """Publications that wait for the broker now, those that are on their way included."""
    outbox_size: int
    """Bytes of the same."""
    links: int
    """Times that a link was there: more than one are reconnections."""
    published: int
    """Publications that the broker has acknowledged."""
    failed: int
    """Publications that were accepted here, and then refused, given up after `Limits.broker_timeout`, or lost."""
    unknown: int
    """Of these, those that were on their way when the link broke, and may have happened."""
    repeated: int
    """Times that one was on its way when the link broke, was not in the history, and was appended again."""
    received: int
    """Publications that came from the broker and were handed to the hub."""
    duplicates: int
    """Publications that came again, and were dropped."""
    gaps: int
    """Times that something was found missing in a channel."""
    healed: int
    """Of these, those whose publications were all found in the history."""
    missed: int
    """Publications that are known to be lost for this process. A gap of unknown size counts as one."""
    refused: int
    """Messages in the broker that were foreign, truncated, or of a version that is not understood."""
    resets: int
    """Links that were given up because nothing came on them."""


class Counts:
    """The running counts behind it."""

    __slots__ = (
        "duplicates", "failed", "gaps", "healed", "links", "missed", "published", "received", "repeated", "resets",
        "unknown",
    )  # fmt: skip

    def __init__(self) -> None:
        self.duplicates: int = 0
        self.failed: int = 0
        self.gaps: int = 0
        self.healed: int = 0
        self.links: int = 0
        self.missed: int = 0
        self.published: int = 0
        self.repeated: int = 0
        self.received: int = 0
        self.resets: int = 0
        self.unknown: int = 0


assert set(Counts.__slots__) <= {field.name for field in fields(BrokerStatistics)}
