"""What travels in each payload: who published it, which message of its stream it is, and when it left.

It is written in letters and digits alone, so that it comes back whole from JSON, HTML and URLs, whatever envelope the
server puts around it; a server that encodes payloads, in base64 for one, cannot be measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["SIZE", "Delivery", "Marker"]

SIZE = 33  # bytes of a marker, and so of the smallest payload
LAST_NUMBER = 0xFFFFFF  # the publisher has six digits
LAST_SEQUENCE = 0xFFFFFFFF  # the sequence number has eight
LAST_TIME = 0xFFFFFFFFFFFF  # the time has twelve: nanoseconds of 78 hours


class Delivery(NamedTuple):
    """What a marker says."""

    publisher: int
    sequence: int
    sent: int  # nanoseconds since the run's epoch


class Marker:
    """The markers of one run, told from those of others by its four hexadecimal digits."""

    __slots__ = ("_find", "_head")

    def __init__(self, run: str) -> None:
        self._head = f"hub{run}"
        self._find: Callable[[bytes], list[tuple[bytes, bytes, bytes]]] = re.compile(
            rb"hub" + run.encode() + rb"([0-9a-f]{6})([0-9a-f]{8})([0-9a-f]{12})"
        ).findall

    def write(self, delivery: Delivery, size: int) -> str:
        """A payload of so many bytes, at least SIZE."""
        publisher, sequence, sent = delivery
        return f"{self._head}{publisher:06x}{sequence:08x}{sent:012x}".ljust(size, ".")

    def find(self, message: bytes) -> list[Delivery]:
        """What a message holds: one marker as a rule, several if the server joins messages, none if it is its own.

        A marker that one message repeats counts once.
        """
        found = self._find(message)
        if len(found) > 1:
            found = list(dict.fromkeys(found))
        return [Delivery(int(publisher, 16), int(sequence, 16), int(sent, 16)) for publisher, sequence, sent in found]
