"""From a configuration to what serves it."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hubbub.brokers import broker_for
from hubbub.errors import Misuse
from hubbub.limits import Limits
from hubbub.realtime import Bounds, Names, Realtime, Tokens
from hubbub.standalone import keyset
from hubbub.standalone.brokers import Told, broker_url
from hubbub.standalone.configuration import Configuration, Mistake

__all__ = ["LOCAL", "Parts", "is_loopback", "notes", "parts", "realtime"]

Made = TypeVar("Made")
NEVER = 1e9  # seconds
LOCAL = "local:"  # the broker of several workers, where no other is named


@dataclass(slots=True)
class Parts:
    """What sessions are made of."""

    broker: str
    tokens: Tokens | None
    subscription_tokens: Tokens | None
    names: Names
    bounds: Bounds
    limits: Limits


def parts(found: Configuration, *, fetched: bool = True) -> Parts | None:
    """Make them; None if that fails, with why among the mistakes.

    Args:
        fetched: whether key sets are fetched.
    """
    values, before = found.values, len(found.mistakes)

    def made(key: str, make: Callable[[], Made]) -> Made | None:
        try:
            return make()
        except (Misuse, ValueError) as error:
            found.mistakes.append(Mistake(found.where(key), key, str(error)))
            return None

    names = made("channel", lambda: _names(values))
    bounds = made("client", lambda: _bounds(values))
    limits = made("client", lambda: _limits(values))
    tokens = made("client.token", lambda: _tokens(values, "client.token", fetched))
    subscription = made("client.subscription_token", lambda: _subscription_tokens(values, fetched))
    broker = made("broker", lambda: _broker(found))
    made("http_server.tls", lambda: _tls(values))
    _personal(found)
    if len(found.mistakes) > before or broker is None or names is None or bounds is None or limits is None:
        return None
    return Parts(broker, tokens, subscription, names, bounds, limits)


def realtime(found: Configuration, made: Parts, limits: Limits) -> Realtime:
    """The sessions."""
    values = found.values
    head = "client.subscribe_to_user_personal_channel"
    return Realtime(
        broker=made.broker,
        tokens=made.tokens,
        subscription_tokens=made.subscription_tokens,
        namespaces=found.namespaces,
        names=made.names,
        bounds=made.bounds,
        limits=limits,
        insecure=values["client.insecure"],
        anonymous=values["client.allow_anonymous_connect_without_token"],
        personal=values[f"{head}.personal_channel_namespace"] if values[f"{head}.enabled"] else None,
        allowed_origins=values["client.allowed_origins"] or None,
        name=values["node.name"],
    )


def notes(found: Configuration) -> list[Mistake]:
    """What can be served as it is, and may not be meant."""
    values = found.values
    told: list[Mistake] = []

    def note(key: str, text: str) -> None:
        told.append(Mistake(found.where(key), key, text))

    public = not is_loopback(values["http_server.address"])
    with_keys = any(_given(values, "client.token"))
    if values["client.insecure"]:
        if public:
            note("client.insecure", "everybody who reaches this server may do everything")
    elif not with_keys and not values["client.allow_anonymous_connect_without_token"]:
        note("client.token", "nobody can connect: there is no key for tokens, and who has none is not let in")
    if not values["http_api.disabled"]:
        if values["http_api.insecure"] and public:
            note("http_api.insecure", "everybody who reaches this server may publish, and disconnect users")
        elif not values["http_api.key"] and not values["http_api.insecure"]:
            note("http_api.key", "the HTTP API lets nobody in: it has no key")
    return told


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _names(values: dict[str, Any]) -> Names:
    return Names(
        private_prefix=values["channel.private_prefix"],
        namespace_boundary=values["channel.namespace_boundary"],
        user_boundary=values["channel.user_boundary"],
        user_separator=values["channel.user_separator"],
        max_length=values["channel.max_length"],
    )


def _bounds(values: dict[str, Any]) -> Bounds:
    publications = [values[f"client.{what}_max_publication_limit"] for what in ("history", "recovery")]
    return Bounds(
        ping=values["client.ping_interval"],
        pong_timeout=values["client.pong_timeout"],
        connect_timeout=values["client.stale_close_delay"],
        expired_grace=values["client.expired_close_delay"],
        max_command_rate=values["client.command_rate"],
        max_channels=values["client.channel_limit"],
        max_publications=min(publications),
        max_command=values["websocket.message_size_limit"],
        max_sessions_per_user=values["client.user_connection_limit"],
    )


def _limits(values: dict[str, Any]) -> Limits:
    size = values["websocket.message_size_limit"]
    chosen: dict[str, Any] = {
        "max_message_size": size,
        "max_backlog": values["client.queue_max_size"],
        "shutdown_timeout": values["shutdown.timeout"],
        "ping_interval": NEVER,  # sessions have pings of their own
    }
    if values["client.connection_limit"]:
        chosen["max_connections"] = values["client.connection_limit"]
    return Limits(**chosen)


def _tls(values: dict[str, Any]) -> None:
    """Raises: Misuse: there is no certificate with its key."""
    enabled, certificate, key = (values[f"http_server.tls.{name}"] for name in ("enabled", "cert_pem", "key_pem"))
    if not enabled:
        return
    if not certificate:
        raise Misuse("it is enabled, and needs cert_pem")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key or None)
    except ssl.SSLError as error:
        raise Misuse(f"cert_pem is no certificate with its private key ({error})") from None


def _given(values: dict[str, Any], head: str) -> list[Any]:
    """The keys of tokens that are there."""
    names = ("hmac_secret_key", "rsa_public_key", "ecdsa_public_key", "eddsa_public_key", "jwks_public_endpoint")
    return [values[f"{head}.{name}"] for name in names if values[f"{head}.{name}"]]


def _subscription_tokens(values: dict[str, Any], fetched: bool) -> Tokens | None:
    head = "client.subscription_token"
    if not values[f"{head}.enabled"]:
        if _given(values, head):
            raise Misuse("its keys count only with enabled = true")
        return None
    tokens = _tokens(values, head, fetched)
    if tokens is None and fetched:
        raise Misuse("it is enabled, and has no key")
    return tokens


def _tokens(values: dict[str, Any], head: str, fetched: bool) -> Tokens | None:
    said = {
        name: values[f"{head}.{name}"]
        for name in ("rsa_public_key", "ecdsa_public_key", "eddsa_public_key", "audience", "issuer", "user_id_claim")
    }
    secrets = [values[f"{head}.hmac_secret_key"]] if values[f"{head}.hmac_secret_key"] else []
    if previous := values[f"{head}.hmac_previous_secret_key"]:
        until = values[f"{head}.hmac_previous_secret_key_valid_until"]
        if not secrets:
            raise Misuse("a previous secret needs hmac_secret_key, which replaces it")
        if not until or time.time() < until:
            secrets.append(previous)
    if not _given(values, head):
        return None
    url = values[f"{head}.jwks_public_endpoint"]
    if url and (reason := keyset.refusal(url)):
        raise Misuse(f"jwks_public_endpoint: {reason}")
    if url and not fetched:
        return None
    return Tokens(
        hmac=secrets or None,
        rsa=said["rsa_public_key"] or None,
        ecdsa=said["ecdsa_public_key"] or None,
        eddsa=said["eddsa_public_key"] or None,
        jwks=keyset.fetch(url) if url else None,
        audience=said["audience"] or None,
        issuer=said["issuer"] or None,
        user_claim=said["user_id_claim"] or "sub",
        require_exp=values[f"{head}.require_exp"],
        leeway=values[f"{head}.leeway"],
    )


def _broker(found: Configuration) -> str:
    told = Told(partial(_note, found, found.mistakes), partial(_note, found, found.ignored))
    several = found.values["http_server.workers"] > 1
    url: str = found.values["broker.url"] or broker_url(found.engines, told)
    if not url:
        return LOCAL if several else "memory:"
    if several and not broker_for(url).traits.processes:
        raise Misuse(f"{url.partition(':')[0]}: joins no processes: leave it out, or have one worker")
    broker_for(url)
    return url


def _note(found: Configuration, among: list[Mistake], key: str, text: str) -> None:
    among.append(Mistake(found.where(key), key, text))


def _personal(found: Configuration) -> None:
    head = "client.subscribe_to_user_personal_channel"
    name = found.values[f"{head}.personal_channel_namespace"]
    if name not in found.namespaces:
        key = f"{head}.personal_channel_namespace"
        found.mistakes.append(Mistake(found.where(key), key, f"there is no namespace {name!r}"))
