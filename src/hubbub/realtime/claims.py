"""The claims of tokens, by name and type. What is null is as if it were not there, but for info, data and meta."""

from __future__ import annotations

from msgspec import Raw, Struct
from msgspec.json import Decoder

from hubbub.realtime.protocol import NOTHING

__all__ = ["Claims", "Granted", "Override", "Value", "claims_in", "user_in"]


class Value(Struct):
    value: bool = False


class Override(Struct):
    presence: Value | None = None
    join_leave: Value | None = None
    force_push_join_leave: Value | None = None
    force_recovery: Value | None = None
    force_positioning: Value | None = None


class Granted(Struct):
    info: Raw = NOTHING
    b64info: str | None = None
    data: Raw = NOTHING
    b64data: str | None = None
    override: Override | None = None


class Claims(Granted):
    sub: str | None = None
    exp: float | None = None
    nbf: float | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    expire_at: float | None = None
    channels: list[str] | None = None
    subs: dict[str, Granted] | None = None
    meta: Raw = NOTHING
    channel: str | None = None
    client: str | None = None


_claims, _named = Decoder(Claims), Decoder(dict[str, Raw])
_user: Decoder[str | int | None] = Decoder(str | int | None)


def claims_in(payload: bytes) -> Claims:
    """What a token's payload says. Raises: ValueError: no JSON, or a claim of another type. RecursionError."""
    return _claims.decode(payload.decode())  # as a text: what is carried through as it is has to be UTF-8, too


def user_in(payload: bytes, claim: str) -> str:
    """The user, a text or a whole number, by another claim than `sub`. Raises: as `claims_in`."""
    named = _named.decode(payload).get(claim)
    found = None if named is None else _user.decode(named)
    return "" if found is None else str(found)
