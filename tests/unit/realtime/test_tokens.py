"""What tokens say, and which keys check them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hubbub.errors import Misuse
from hubbub.realtime import keys
from hubbub.realtime.protocol import Disconnect, Disconnects, Error, Errors, Fault
from hubbub.realtime.tokens import Grant, Tokens

jwt = pytest.importorskip("jwt", reason="pip install 'hubbub[realtime]'")
pytest.importorskip("cryptography", reason="pip install 'hubbub[realtime]'")

from support.token_keys import SECRET, forged, jwk, pair  # noqa: E402  they need cryptography

NOW = 1_800_000_000.0
PUBLIC = {"RS256": "rsa", "RS512": "rsa", "ES256": "ecdsa", "ES384": "ecdsa", "ES512": "ecdsa", "EdDSA": "eddsa"}


def tokens(**options: Any) -> Tokens:
    return Tokens(**{"hmac": SECRET, "clock": lambda: NOW, **options})


def signed(algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    key = SECRET if algorithm.startswith("HS") else pair(algorithm).private
    return str(jwt.encode({"exp": NOW + 60, **claims}, key, algorithm, headers=headers))


def verdict(call: Any, *args: Any, **named: Any) -> Error | Disconnect:
    with pytest.raises(Fault) as raised:
        call(*args, **named)
    return raised.value.verdict


def test_a_connection_token_says_who_connects() -> None:
    token = signed(sub="42", info={"name": "Zoë"}, meta={"a": 1}, channels=["news", "a"], jti="x", iat=1)
    found = tokens().connection(token)
    assert (found.user, found.expires_at) == ("42", NOW + 60)
    assert (json.loads(found.info), json.loads(found.meta)) == ({"name": "Zoë"}, {"a": 1})
    assert found.subs == {"news": Grant(), "a": Grant()}


def test_server_side_subscriptions_have_info_data_and_overrides() -> None:
    encoded = base64.b64encode(b"\x00\xff").decode()
    subs = {
        "a": {"info": {"x": 1}, "data": [2], "override": {"presence": {"value": True}, "force_recovery": {}}},
        "b": {"b64info": encoded, "b64data": encoded, "info": 1},
    }
    found = tokens().connection(signed(sub="42", channels=["passed over"], subs=subs))
    assert found.subs == {
        "a": Grant(info=b'{"x":1}', data=b"[2]", override={"presence": True, "force_recovery": False}),
        "b": Grant(info=b"\x00\xff", data=b"\x00\xff"),
    }


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": None, "channels": None, "subs": None, "aud": None}])
def test_a_token_without_a_user_is_anonymous(claims: dict[str, Any]) -> None:
    found = tokens().connection(forged({"alg": "HS256"}, {"exp": NOW + 1, **claims}, SECRET))
    assert found.user == ""
    assert not found.subs


@pytest.mark.parametrize(
    ("claims", "expires_at"),
    [({}, NOW + 60), ({"exp": NOW + 1.5}, NOW + 1.5), ({"expire_at": NOW + 9}, NOW + 9), ({"expire_at": 0}, None)],
)
def test_when_a_connection_ends(claims: dict[str, Any], expires_at: float | None) -> None:
    assert tokens().connection(signed(**claims)).expires_at == expires_at


def test_a_token_may_be_good_for_ever_if_that_is_allowed() -> None:
    token = forged({"alg": "HS256"}, {"sub": "42"}, SECRET)
    assert verdict(tokens().connection, token) is Disconnects.INVALID_TOKEN
    assert tokens(require_exp=False).connection(token).expires_at is None


@pytest.mark.parametrize(
    ("claims", "leeway", "good"),
    [
        ({"exp": NOW}, 0, False),
        ({"exp": NOW - 5}, 10, True),
        ({"exp": NOW - 10}, 10, False),
        ({"nbf": NOW}, 0, True),
        ({"nbf": NOW + 1}, 0, False),
        ({"nbf": NOW + 10}, 10, True),
        ({"nbf": NOW + 11}, 10, False),
        ({"iat": NOW + 1000}, 0, True),
    ],
)
def test_times_are_judged_with_the_leeway(claims: dict[str, Any], leeway: float, good: bool) -> None:
    checks, token = tokens(leeway=leeway), signed(**claims)
    if good:
        assert checks.connection(token)
    else:
        assert verdict(checks.connection, token) is Errors.TOKEN_EXPIRED
        assert verdict(checks.refreshed_connection, token, "") is Disconnects.EXPIRED


@pytest.mark.parametrize(
    ("options", "claims", "good"),
    [
        ({"audience": "us"}, {"aud": "us"}, True),
        ({"audience": "us"}, {"aud": ["them", "us"]}, True),
        ({"audience": "us"}, {"aud": "them"}, False),
        ({"audience": "us"}, {"aud": []}, False),
        ({"audience": "us"}, {}, False),
        ({}, {"aud": "them", "iss": "anybody"}, True),
        ({"issuer": "me"}, {"iss": "me"}, True),
        ({"issuer": "me"}, {"iss": "you"}, False),
        ({"issuer": "me"}, {}, False),
    ],
)
def test_audience_and_issuer_are_looked_at_if_they_are_named(
    options: dict[str, Any], claims: dict[str, Any], good: bool
) -> None:
    if good:
        assert tokens(**options).connection(signed(**claims))
    else:
        assert verdict(tokens(**options).connection, signed(**claims)) is Disconnects.INVALID_TOKEN


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", *PUBLIC])
def test_every_algorithm_has_a_key(algorithm: str) -> None:
    keys = {"hmac": None, PUBLIC[algorithm]: pair(algorithm).public} if algorithm in PUBLIC else {}
    assert tokens(**keys).connection(signed(algorithm, sub="42")).user == "42"


def test_a_new_secret_takes_over_from_an_old_one() -> None:
    both = tokens(hmac=["the new secret of thirty-two bytes or more", SECRET])
    assert both.connection(signed(sub="42")).user == "42"
    assert both.connection(both.make("43", ttl=5)).user == "43"
    assert verdict(tokens().connection, both.make("43", ttl=5)) is Disconnects.INVALID_TOKEN


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_keys_of_a_set_are_chosen_by_name(algorithm: str, tmp_path: Path) -> None:
    keys = {"keys": [jwk("ES256", "another"), jwk(algorithm, "this", use="sig", alg=algorithm), {"kty": "oct"}]}
    (tmp_path / "jwks.json").write_text(json.dumps(keys))
    for jwks in (keys, tmp_path / "jwks.json", str(tmp_path / "jwks.json")):
        assert tokens(hmac=None, jwks=jwks).connection(signed(algorithm, {"kid": "this"}, sub="42")).user == "42"


def test_a_set_of_keys_is_replaced_and_a_bad_one_is_not_taken() -> None:
    checks = tokens(hmac=None, jwks={"keys": [jwk("ES256", "old")]})
    token = signed("EdDSA", {"kid": "new"}, sub="42")
    assert verdict(checks.connection, token) is Disconnects.INVALID_TOKEN
    checks.replace_keys({"keys": [jwk("EdDSA", "new")]})
    assert checks.connection(token)
    with pytest.raises(Misuse):
        checks.replace_keys({"keys": []})
    assert checks.connection(token)


@pytest.mark.parametrize(("value", "user"), [("x", "x"), (42, "42"), (None, "")])
def test_another_claim_may_name_the_user(value: Any, user: str) -> None:
    assert tokens(user_claim="uid").connection(signed(uid=value, sub="passed over")).user == user


@pytest.mark.parametrize("value", [True, 1.5, [], {}])
def test_a_user_is_a_text_or_a_number(value: Any) -> None:
    assert verdict(tokens(user_claim="uid").connection, signed(uid=value)) is Disconnects.INVALID_TOKEN


def test_a_subscription_token_says_how_the_client_may_subscribe() -> None:
    token = signed(sub="42", channel="$a", client="c", info={"x": 1}, override={"join_leave": {"value": True}})
    found = tokens().subscription(token, channel="$a", user="42", client="c")
    assert (found.channel, found.user, found.expires_at) == ("$a", "42", NOW + 60)
    assert found.grant == Grant(info=b'{"x":1}', override={"join_leave": True})


ASKED = {"channel": "a", "user": "42", "client": "c"}
NOBODY_ELSE = {"channel": "a", "sub": "42"}


@pytest.mark.parametrize("claims", [{"channel": "b", "sub": "42"}, {"channel": "a", "sub": "43"}, {"channel": "a"}, {**NOBODY_ELSE, "client": "d"}])  # fmt: skip  # noqa: E501
def test_a_subscription_token_of_somebody_else_ends_the_connection(claims: dict[str, Any]) -> None:
    for check in (tokens().subscription, tokens().refreshed_subscription):
        assert verdict(check, signed(**claims), **ASKED) is Disconnects.INVALID_TOKEN


@pytest.mark.parametrize(
    ("claims", "subscribing", "refreshing"),
    [
        ({**NOBODY_ELSE, "exp": NOW - 1}, Errors.TOKEN_EXPIRED, Disconnects.SUBSCRIPTION_EXPIRED),
        ({"sub": "42"}, Errors.PERMISSION_DENIED, Disconnects.INVALID_TOKEN),
        ({**NOBODY_ELSE, "b64info": "%"}, Errors.PERMISSION_DENIED, Disconnects.INVALID_TOKEN),
    ],
)
def test_what_a_bad_subscription_token_costs(claims: dict[str, Any], subscribing: Any, refreshing: Any) -> None:
    assert verdict(tokens().subscription, signed(**claims), **ASKED) is subscribing
    assert verdict(tokens().refreshed_subscription, signed(**claims), **ASKED) is refreshing


def test_a_refresh_without_a_channel_is_of_the_tokens() -> None:
    found = tokens().refreshed_subscription(signed(**NOBODY_ELSE), **{**ASKED, "channel": ""})
    assert found.channel == "a"


def test_a_connection_goes_on_only_as_the_same_user() -> None:
    assert tokens().refreshed_connection(signed(sub="42"), "42").user == "42"
    assert verdict(tokens().refreshed_connection, signed(sub="42"), "43") is Disconnects.INVALID_TOKEN


def test_tokens_are_made_too() -> None:
    ours = tokens(audience="us", issuer="me")
    assert ours.connection(ours.make("42", ttl=60, channels=["a"])).subs == {"a": Grant()}
    token = ours.make("42", ttl=60, channel="a")
    assert ours.subscription(token, **ASKED).expires_at == NOW + 60
    assert verdict(ours.connection, token) is Disconnects.INVALID_TOKEN
    assert tokens(require_exp=False).connection(tokens().make("", ttl=None)).expires_at is None


@pytest.mark.parametrize(
    "options",
    [
        {"hmac": None},
        {"hmac": ""},
        {"hmac": []},
        {"hmac": 5},
        {"hmac": lambda: pair("RS256").public},
        {"rsa": "no key"},
        {"rsa": lambda: pair("ES256").public},
        {"ecdsa": lambda: pair("RS256").public},
        {"eddsa": lambda: pair("RS256").public},
        {"jwks": lambda: {"keys": [jwk("ES256", "x")]}},
        {"hmac": None, "jwks": {"keys": []}},
        {"hmac": None, "jwks": {"keys": {}}},
        {"hmac": None, "jwks": {}},
        {"hmac": None, "jwks": "/no/such/file"},
        {"hmac": None, "jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "x"}]}},
        {"hmac": None, "jwks": lambda: {"keys": [jwk("ES256", "x", use="enc"), jwk("RS256", "y", alg="HS256")]}},
        {"hmac": None, "jwks": {"keys": [5, {"kty": "RSA", "kid": "x"}, {"kty": "EC", "kid": "x", "crv": "P-256"}]}},
        {"leeway": -1},
        {"leeway": 61},
        {"leeway": "5"},
        {"max_size": 0},
    ],
)
def test_what_can_never_work_is_said_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        tokens(**{name: value() if callable(value) else value for name, value in options.items()})


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(keys, "import_module", missing)
    with pytest.raises(Misuse, match=r"hubbub\[realtime\]"):
        tokens()


def test_only_who_has_the_secret_makes_tokens() -> None:
    with pytest.raises(Misuse):
        tokens(hmac=None, rsa=pair("RS256").public).make("42", ttl=1)


def test_a_short_secret_is_said_once_and_works(caplog: pytest.LogCaptureFixture) -> None:
    short = tokens(hmac="secret")
    assert "can be guessed" in caplog.text
    assert short.connection(forged({"alg": "HS256"}, {"exp": NOW + 1}, "secret"))
