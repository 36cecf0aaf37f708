"""Forged tokens, one by one: none is let in, none ends in another error, and none is repeated by what is raised."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubbub.realtime.protocol import Disconnects, Errors, Fault
from hubbub.realtime.tokens import Tokens

jwt = pytest.importorskip("jwt", reason="pip install 'hubbub[realtime]'")
pytest.importorskip("cryptography", reason="pip install 'hubbub[realtime]'")

from support.token_keys import SECRET, forged, jwk, pair, part  # noqa: E402  they need cryptography

CLAIMS = {"sub": "admin", "exp": 2_000_000_000, "channel": ""}
SUBSCRIPTION = {**CLAIMS, "channel": "a"}
HS = {"alg": "HS256", "typ": "JWT"}


def check(tokens: Tokens, token: str) -> None:
    """It is refused as what it is, as a connection's and as a subscription's."""
    asked = {"channel": "a", "user": "admin", "client": "c"}
    for call, verdict in (
        (lambda: tokens.connection(token), Disconnects.INVALID_TOKEN),
        (lambda: tokens.refreshed_connection(token, "admin"), Disconnects.INVALID_TOKEN),
        (lambda: tokens.subscription(token, **asked), Errors.PERMISSION_DENIED),
        (lambda: tokens.refreshed_subscription(token, **asked), Disconnects.INVALID_TOKEN),
    ):
        with pytest.raises(Fault) as raised:
            call()
        assert raised.value.verdict is verdict
        shown = f"{raised.value} {raised.value!r} {raised.value.detail}"
        assert not any(word in shown for word in token.split(".") if len(word) > 3)


def everything() -> Tokens:
    """Keys of all families at once: what one may, another may not."""
    return Tokens(hmac=SECRET, rsa=pair("RS256").public, ecdsa=pair("ES256").public, eddsa=pair("EdDSA").public)


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, "HS1", "hs256", "RS256 ", ["HS256"], {}, 5])
@pytest.mark.parametrize("claims", [CLAIMS, SUBSCRIPTION])
def test_no_algorithm_or_an_unknown_one(name: Any, claims: dict[str, Any]) -> None:
    for token in (forged({"alg": name}, claims), forged({"alg": name}, claims, SECRET)):
        check(everything(), token)
        check(Tokens(hmac=None, jwks={"keys": [jwk("ES256", "x")]}), token)


@pytest.mark.parametrize("signature", ["", "AA", part(b"\0" * 32), part(b"\0" * 64), part(b"\0" * 256)])
@pytest.mark.parametrize("name", ["HS256", "RS256", "ES256", "EdDSA"])
def test_a_signature_that_is_missing_short_or_zero(name: str, signature: str) -> None:
    check(everything(), forged({"alg": name}, CLAIMS) + signature)


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("turn", [str, str.strip, lambda pem: pem.replace("\n", "\r\n")])
def test_a_public_key_offered_as_hmac_secret(name: str, turn: Any) -> None:
    public = turn(pair(name).public)
    check(everything(), forged(HS, CLAIMS, public))
    kind = {"RS256": "rsa", "ES256": "ecdsa", "EdDSA": "eddsa"}[name]
    check(Tokens(**{kind: pair(name).public}), forged(HS, CLAIMS, public))  # type: ignore[arg-type]
    keys = {"keys": [jwk(name, "x")]}
    check(Tokens(jwks=keys), forged({**HS, "kid": "x"}, CLAIMS, public))
    check(Tokens(jwks=keys), forged({**HS, "kid": "x"}, CLAIMS, json.dumps(keys["keys"][0])))


@pytest.mark.parametrize(("signs", "says"), [("RS256", "RS512"), ("ES256", "ES384"), ("EdDSA", "ES256")])
def test_an_algorithm_other_than_the_one_that_signed(signs: str, says: str) -> None:
    _, payload, signature = jwt.encode(CLAIMS, pair(signs).private, signs).split(".")
    check(everything(), f"{part({'alg': says})}.{payload}.{signature}")


def test_a_key_of_the_attackers_own() -> None:
    for name in ("RS256", "ES256", "EdDSA"):
        pair.cache_clear()  # the server's keys are others than these
        token = jwt.encode(CLAIMS, pair(name).private, name, headers={"kid": "x", "jwk": jwk(name, "x")})
        pair.cache_clear()
        check(everything(), token)
        check(Tokens(jwks={"keys": [jwk(name, "x")]}), token)


@pytest.mark.parametrize("kid", ["y", "", None, 5, ["x"], {"x": 1}, "../x", "x\0", "X"])
def test_an_unknown_kid(kid: Any) -> None:
    private = pair("ES256").private
    head, payload, signature = jwt.encode(CLAIMS, private, "ES256", headers={"kid": "x"}).split(".")
    tokens = Tokens(jwks={"keys": [jwk("ES256", "x")]})
    assert tokens.connection(f"{head}.{payload}.{signature}").user == "admin"
    check(tokens, f"{part({'alg': 'ES256', 'kid': kid})}.{payload}.{signature}")


def test_no_kid_for_a_set_of_keys() -> None:
    check(Tokens(jwks={"keys": [jwk("ES256", "x")]}), jwt.encode(CLAIMS, pair("ES256").private, "ES256"))


@pytest.mark.parametrize(
    "header", [{"crit": ["x"], "x": 1}, {"crit": []}, {"crit": "b64"}, {"b64": False, "crit": ["b64"]}]
)
def test_an_extension_that_has_to_be_understood(header: dict[str, Any]) -> None:
    check(everything(), forged({**HS, **header}, CLAIMS, SECRET))


@pytest.mark.parametrize("at", range(3))
def test_any_part_that_was_changed(at: int) -> None:
    parts = forged(HS, CLAIMS, SECRET).split(".")
    assert everything().connection(".".join(parts)).user == "admin"
    parts[at] = parts[at][:5] + ("A" if parts[at][5] != "A" else "B") + parts[at][6:]
    check(everything(), ".".join(parts))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 42},
        {"sub": ["admin"]},
        {"exp": None},
        {"exp": "2000000000"},
        {"exp": True},
        {"exp": []},
        {"nbf": "0"},
        {"channels": "a"},
        {"channels": [1]},
        {"subs": ["a"]},
        {"subs": {"a": 1}},
        {"subs": {"a": {"b64data": "%"}}},
        {"b64info": "%"},
        {"channel": 5},
        {"expire_at": "x"},
        {"override": {"presence": True}, "channel": 7},
    ],
)
def test_claims_of_another_type(claims: dict[str, Any]) -> None:
    check(Tokens(hmac=SECRET), forged(HS, {**CLAIMS, **claims}, SECRET))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"{",
        b"\xff",
        b'{"sub":"\xff","exp":2000000000}',
        b'{"info":"\xff","exp":2000000000}',
        b'{"exp":1e400}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":2000000000,"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_a_payload_that_is_none(payload: bytes) -> None:
    check(Tokens(hmac=SECRET), forged(HS, payload, SECRET))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b.c",
        "a.b.c.d.e",
        "\0.\0.\0",
        "ä.ö.ü",
        "\ud800",
        "=.=.=",
        part(b"[" * 10_000) + ".e30.e30",
        part(b'{"a":' * 2000) + ".e30.e30",
        part(b"null") + ".e30.e30",
        part(b"\xff") + ".e30.e30",
        "eyJ" * 100,
        "." * 10_000,
    ],
    ids=lambda token: repr(token[:20]),
)
def test_garbage(token: str) -> None:
    check(everything(), token)


def test_a_token_that_is_too_large_is_not_looked_into() -> None:
    token = forged(HS, {**CLAIMS, "info": "x" * 20_000}, SECRET)
    check(Tokens(hmac=SECRET), token)
    assert Tokens(hmac=SECRET, max_size=40_000).connection(token).user == "admin"


@pytest.mark.parametrize(
    "claims", [{"aud": "them"}, {"iss": "you"}, {"aud": ["us2"], "iss": "me"}, {"aud": "us", "iss": ""}]
)
def test_a_token_for_or_of_somebody_else_even_if_it_has_expired(claims: dict[str, Any]) -> None:
    tokens = Tokens(hmac=SECRET, audience="us", issuer="me")
    for exp in (1, 2_000_000_000):
        check(tokens, forged(HS, {**CLAIMS, **claims, "exp": exp}, SECRET))
