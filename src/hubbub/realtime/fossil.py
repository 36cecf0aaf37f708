"""Patches in the delta format of Fossil: what of a text is copied from the one before, and what is inserted.

A patch is the size of its result and a newline; then commands, `size@offset,` to copy from the source and
`size:bytes` to insert; then a checksum of the result and `;`. Numbers are in base 64. Inserted bytes begin and end
with whole characters of UTF-8, so that a patch of texts is a text.
"""

from __future__ import annotations

from struct import unpack

__all__ = ["apply", "create"]

DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_VALUES = {digit: value for value, digit in enumerate(DIGITS)}
BLOCK = 16  # bytes: what is equal for less is inserted
MOST_BLOCKS = 4096
"""Blocks of the source that are looked up: 64 KiB of what is between the common beginning and end."""
MOST_STEPS = 16_384
"""Places of the target at which a block is looked up, about 2 ms. What is behind them is inserted."""
STEPS_OF_A_COPY = 16  # what one takes, in steps: so a patch has up to 963
LARGEST = 16 * 1024 * 1024  # bytes that a patch may claim to make


def create(source: bytes, target: bytes) -> bytes:
    """A patch that makes the target of the source. It may be larger than the target: then send that.

    It takes a few milliseconds at the most, besides what comparing both and adding the target up takes (some 4 ms for
    a MiB): what is too much to be searched is inserted.
    """
    start = _begin_of_character(target, _alike(source, 0, target, 0))
    end = _alike_at_end(source, target, min(len(source), len(target)) - start)
    end = len(target) - _end_of_character(target, len(target) - end)
    parts = [_number(len(target)), b"\n"]
    if start:
        parts.append(_copy(start, 0))
    parts += _middle(source[start : len(source) - end], target[start : len(target) - end], start)
    if end:
        parts.append(_copy(end, len(source) - end))
    parts += [_number(_checksum(target)), b";"]
    return b"".join(parts)


def apply(source: bytes, patch: bytes) -> bytes:
    """What the patch makes of the source.

    Raises: ValueError: it is no patch, or one of another source.
    """
    size, at = _read(patch, 0)
    if patch[at : at + 1] != b"\n" or size > LARGEST:
        raise ValueError("a patch begins with a size, of 16 MiB at the most, and a newline")
    at += 1
    made = bytearray()
    while at < len(patch) and len(made) <= size:
        number, at = _read(patch, at)
        command, at = patch[at : at + 1], at + 1
        if command == b"@":
            offset, at = _read(patch, at)
            if patch[at : at + 1] != b"," or offset + number > len(source):
                raise ValueError("a copy from beyond the source")
            made += source[offset : offset + number]
            at += 1
        elif command == b":":
            made += patch[at : at + number]
            at += number
        else:
            if command != b";" or at != len(patch) or len(made) != size or number != _checksum(made):
                raise ValueError("a patch of another source")
            return bytes(made)
    raise ValueError("a patch that is cut off, or makes more than it says")


def _middle(source: bytes, target: bytes, shift: int) -> list[bytes]:
    """Commands that make the target of this part of the source, which begins at `shift`."""
    blocks: dict[bytes, int] = {}
    for at in range(0, min(len(source) - BLOCK + 1, MOST_BLOCKS * BLOCK), BLOCK):
        blocks.setdefault(source[at : at + BLOCK], at)
    parts: list[bytes] = []
    done = at = 0
    left = MOST_STEPS if blocks else 0
    while left > 0 and at + BLOCK <= len(target):
        left -= 1
        found = blocks.get(target[at : at + BLOCK])
        if found is None:
            at += 1
            continue
        left -= STEPS_OF_A_COPY
        back = _alike_at_end(source[max(found - at + done, 0) : found], target[done:at], min(found, at - done))
        begin = _end_of_character(target, at - back)
        end = _begin_of_character(target, at + _alike(source, found, target, at))
        if end > begin:
            if begin > done:
                parts.append(_insertion(target[done:begin]))
            parts.append(_copy(end - begin, shift + found - at + begin))
            done = end
        at = max(end, at + 1)
    if done < len(target):
        parts.append(_insertion(target[done:]))
    return parts


def _copy(size: int, offset: int) -> bytes:
    return b"%b@%b," % (_number(size), _number(offset))


def _insertion(data: bytes) -> bytes:
    return b"%b:%b" % (_number(len(data)), data)


def _alike(one: bytes, at: int, other: bytes, there: int) -> int:
    """For how many bytes both go on alike. Pieces of twice the size are compared, then of half, not byte by byte."""
    most = min(len(one) - at, len(other) - there)
    low, step = 0, BLOCK
    while low + step <= most and one[at + low : at + low + step] == other[there + low : there + low + step]:
        low += step
        step *= 2
    while step:
        if low + step <= most and one[at + low : at + low + step] == other[there + low : there + low + step]:
            low += step
        step //= 2
    return low


def _alike_at_end(one: bytes, other: bytes, most: int) -> int:
    """For how many bytes, of so many at most, both end alike."""
    turned = one[len(one) - most :][::-1]
    return _alike(turned, 0, other[len(other) - most :][::-1], 0)


def _within_character(text: bytes, at: int) -> bool:
    return at < len(text) and text[at] & 0xC0 == 0x80


def _begin_of_character(text: bytes, at: int) -> int:
    """This place, or where the character that it is within begins. (What goes on for longer is no UTF-8.)"""
    return next((at - back for back in range(min(3, at) + 1) if not _within_character(text, at - back)), at)


def _end_of_character(text: bytes, at: int) -> int:
    """This place, or where the character that it is within ends."""
    return next((at + on for on in range(4) if not _within_character(text, at + on)), at)


def _number(value: int) -> bytes:
    digits = bytearray()
    while value or not digits:
        digits.append(DIGITS[value & 63])
        value >>= 6
    digits.reverse()
    return bytes(digits)


def _read(patch: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value, begin = 0, at
    while at < len(patch) and at - begin < 6 and (digit := _VALUES.get(patch[at])) is not None:
        value = value << 6 | digit
        at += 1
    if at == begin:
        raise ValueError("a number is missing")
    return value, at


def _checksum(data: bytes | bytearray) -> int:
    """The sum of all groups of four bytes, the last one filled up with zeros, in 32 bits."""
    filled = bytes(data) + bytes(-len(data) % 4)
    words: tuple[int, ...] = unpack(f">{len(filled) // 4}I", filled)
    return sum(words) & 0xFFFFFFFF
