"""Tokens: JSON Web Tokens that say who connects, and who may subscribe to a channel."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msgspec import Raw, json

from hubbub.arguments import shown, whole
from hubbub.errors import Misuse
from hubbub.realtime.claims import Claims, Granted, Override, claims_in, user_in
from hubbub.realtime.keys import Keys, KeySet, Rejected, Secret
from hubbub.realtime.protocol import Disconnect, Disconnects, Error, Errors, Fault

__all__ = ["ConnectionToken", "Grant", "SubscriptionToken", "Tokens"]

MOST_LEEWAY = 60.0  # seconds: more would make short lives of tokens pointless


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token says of one subscription."""

    info: bytes = b""
    """Of the client in the channel, as others see it."""
    data: bytes = b""
    """For the client, in the reply."""
    override: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """Options of the namespace that are others for this client: presence, join_leave, force_push_join_leave,
    force_recovery, force_positioning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionToken:
    """What a good connection token says."""

    user: str
    """"": anonymous."""
    expires_at: float | None
    """When the connection ends unless it is refreshed, in seconds since 1970. None: never."""
    info: bytes
    """Of the client, as others see it."""
    meta: bytes
    """Of the client, for the program alone."""
    subs: Mapping[str, Grant]
    """What the server subscribes the client to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionToken:
    """What a good subscription token says."""

    user: str
    channel: str
    expires_at: float | None
    """When the subscription ends unless it is refreshed, in seconds since 1970. None: never."""
    grant: Grant


class _Late(Exception):
    """A token that has expired, or is not valid yet."""


_Result = TypeVar("_Result")


class Tokens:
    """Checks the tokens of connections and subscriptions.

    Args:
        hmac: the secret of HS256, HS384 and HS512, best of 32 bytes or more; several while one replaces another.
        rsa, ecdsa, eddsa: the public key in PEM of RS256 to RS512, of ES256 to ES512 by its curve, or of Ed25519.
        jwks: a JSON Web Key Set, or the path of a file with one, instead of all others. Tokens name a key by `kid`.
        audience: one of the `aud` that tokens must have; None: it is not looked at.
        issuer: the `iss` that tokens must have; None: it is not looked at.
        leeway: seconds, up to 60, by which the clock of who makes tokens may differ.
        require_exp: whether a token must say when it expires. Without that it is good for ever.
        user_claim: the claim that names the user.
        max_size: bytes of the largest token.

    Raises: Misuse: no key, or one that is none of its kind; a value out of bounds.
    """

    def __init__(
        self,
        *,
        hmac: Secret | Sequence[Secret] | None = None,
        rsa: Secret | None = None,
        ecdsa: Secret | None = None,
        eddsa: Secret | None = None,
        jwks: KeySet | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        leeway: float = 0.0,
        require_exp: bool = True,
        user_claim: str = "sub",
        max_size: int = 16 * 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given: Any = leeway
        if not isinstance(given, (int, float)) or not 0 <= given <= MOST_LEEWAY:
            raise Misuse(f"leeway is a number of seconds from 0 to {MOST_LEEWAY:g}, not {shown(leeway)}")
        self._keys = Keys(hmac=hmac, rsa=rsa, ecdsa=ecdsa, eddsa=eddsa, jwks=jwks)
        self._audience, self._issuer, self._leeway = audience, issuer, float(leeway)
        self._require_exp, self._user_claim = require_exp, user_claim
        self._max_size = whole("max_size", max_size, 1)
        self._clock = clock

    def replace_keys(self, jwks: KeySet) -> None:
        """Take the keys of this set from now on, as when the endpoint that it comes from has a new one.

        Raises: Misuse: it has none that can check signatures; the keys stay as they are.
        """
        self._keys.replace(jwks)

    def connection(self, token: str) -> ConnectionToken:
        """Who connects. Raises: Fault: 109 if it has expired or is not valid yet, 3500 if it is not good."""
        return self._judged(token, self._connection, Errors.TOKEN_EXPIRED, Disconnects.INVALID_TOKEN)

    def refreshed_connection(self, token: str, user: str) -> ConnectionToken:
        """How a connection goes on. Raises: Fault: 3005 if it has expired, 3500 if it is not good or another user's."""
        found = self._judged(token, self._connection, Disconnects.EXPIRED, Disconnects.INVALID_TOKEN)
        if found.user != user:
            raise Fault(Disconnects.INVALID_TOKEN, "a token of another user")
        return found

    def subscription(self, token: str, *, channel: str, user: str, client: str) -> SubscriptionToken:
        """How the client may subscribe.

        Raises: Fault: 109 if it has expired or is not valid yet, 103 if it is not good, 3500 if it is for another
            channel, user or client.
        """
        found = self._judged(token, self._subscription, Errors.TOKEN_EXPIRED, Errors.PERMISSION_DENIED)
        return _meant(found, channel, user, client)

    def refreshed_subscription(self, token: str, *, channel: str, user: str, client: str) -> SubscriptionToken:
        """How a subscription goes on. The channel "" is the token's: some clients do not send it.

        Raises: Fault: 3006 if it has expired, 3500 if it is not good, or for another channel, user or client.
        """
        found = self._judged(token, self._subscription, Disconnects.SUBSCRIPTION_EXPIRED, Disconnects.INVALID_TOKEN)
        return _meant(found, channel or found[0].channel, user, client)

    def make(self, user: str, *, ttl: float | None, **claims: Any) -> str:
        """A token of that user's, signed with the hmac secret. With the claim `channel` it is for a subscription.

        Args:
            ttl: seconds from now until it expires. None: never.
            claims: further ones, such as info, channels, meta, or channel and client.

        Raises: Misuse: there is no secret.
        """
        said: dict[str, Any] = {self._user_claim: user, "iat": int(self._clock())}
        if ttl is not None:
            said["exp"] = int(self._clock() + ttl)
        if self._audience is not None:
            said["aud"] = self._audience
        if self._issuer is not None:
            said["iss"] = self._issuer
        return self._keys.signed(json.encode({**said, **claims}))

    def _judged(
        self,
        token: str,
        read: Callable[[Claims, str], _Result],
        late: Error | Disconnect,
        bad: Error | Disconnect,
    ) -> _Result:
        try:
            return read(*self._claims(token))
        except _Late as error:
            raise Fault(late, str(error)) from None
        except Rejected as error:
            raise Fault(bad, f"a token is not good: {error}") from None

    def _claims(self, token: str) -> tuple[Claims, str]:
        """Claims that are good in whole, and the user. Raises: Rejected. _Late."""
        if len(token) > self._max_size:
            raise Rejected("it is too large")
        payload = self._keys.payload(token)
        try:
            claims = claims_in(payload)
            user = claims.sub if self._user_claim == "sub" else user_in(payload, self._user_claim)
        except (ValueError, RecursionError):
            raise Rejected("its claims are not those of a token") from None
        accepted = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        if self._audience is not None and self._audience not in accepted:
            raise Rejected("it is for another audience")
        if self._issuer is not None and claims.iss != self._issuer:
            raise Rejected("it is of another issuer")
        if claims.exp is None and self._require_exp:
            raise Rejected("it has no exp")
        return claims, user or ""

    def _valid_now(self, claims: Claims) -> None:
        now = self._clock()
        if claims.exp is not None and now >= claims.exp + self._leeway:
            raise _Late("a token has expired")
        if claims.nbf is not None and now < claims.nbf - self._leeway:
            raise _Late("a token is not valid yet")

    def _connection(self, claims: Claims, user: str) -> ConnectionToken:
        if claims.channel:
            raise Rejected("it is for a subscription")
        self._valid_now(claims)
        if claims.subs:
            subs = {channel: _grant(granted) for channel, granted in claims.subs.items()}
        else:
            subs = dict.fromkeys(claims.channels or (), Grant())
        return ConnectionToken(
            user=user,
            expires_at=_expiry(claims),
            info=_bytes(claims.b64info, claims.info),
            meta=bytes(claims.meta),
            subs=subs,
        )

    def _subscription(self, claims: Claims, user: str) -> tuple[SubscriptionToken, str]:
        self._valid_now(claims)
        if not claims.channel:
            raise Rejected("it names no channel")
        made = SubscriptionToken(user=user, channel=claims.channel, expires_at=_expiry(claims), grant=_grant(claims))
        return made, claims.client or ""


def _meant(found: tuple[SubscriptionToken, str], channel: str, user: str, client: str) -> SubscriptionToken:
    """That token, if it is for this subscription."""
    token, bound_to = found
    if (token.channel, token.user) != (channel, user) or bound_to not in ("", client):
        raise Fault(Disconnects.INVALID_TOKEN, "a token for another channel, user or client")
    return token


def _expiry(claims: Claims) -> float | None:
    if claims.expire_at is None:
        return claims.exp
    return claims.expire_at if claims.expire_at > 0 else None


def _grant(granted: Granted) -> Grant:
    override = {
        name: said.value
        for name in Override.__struct_fields__
        if (said := getattr(granted.override, name, None)) is not None
    }
    return Grant(
        info=_bytes(granted.b64info, granted.info), data=_bytes(granted.b64data, granted.data), override=override
    )


def _bytes(encoded: str | None, plain: Raw) -> bytes:
    if not encoded:
        return bytes(plain)
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        raise Rejected("it has b64 that is no base64") from None
