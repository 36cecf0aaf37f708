"""Every key of the configuration: what it takes, what it is left out, and what it means.

Keys have Centrifugo's names, nested as there; those that are hubbub's own are in `OWN`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

from hubbub.realtime import Namespace
from hubbub.standalone.kinds import (
    Choice,
    Duration,
    Flag,
    Kind,
    Mappings,
    Number,
    Origins,
    Pem,
    PemFile,
    Prefix,
    Secret,
    Text,
    Texts,
)

__all__ = ["DEV", "NAMESPACE", "NAMESPACES", "OPTIONS", "OWN", "WITHOUT_NAMESPACE", "Option", "variable"]

NAMESPACES = "channel.namespaces"
WITHOUT_NAMESPACE = "channel.without_namespace"


class Option(NamedTuple):
    """One key."""

    kind: Kind
    default: Any
    about: str


def variable(key: str) -> str:
    """The environment variable of a key."""
    return f"HUBBUB_{key.upper().replace('.', '_').replace('-', '_')}"


def _token(head: str, of: str) -> dict[str, Option]:
    return {
        f"{head}.hmac_secret_key": Option(Secret(), "", f"Secret of HS256, HS384 and HS512 for {of}."),
        f"{head}.hmac_previous_secret_key": Option(Secret(), "", "The one before, while it is being replaced."),
        f"{head}.hmac_previous_secret_key_valid_until": Option(
            Number(0, 2**53), 0, "Seconds since 1970; a server that starts later does not take it. 0: any does."
        ),
        f"{head}.rsa_public_key": Option(Pem(), "", "Public key of RS256, RS384 and RS512."),
        f"{head}.ecdsa_public_key": Option(Pem(), "", "Public key of ES256, ES384 or ES512."),
        f"{head}.eddsa_public_key": Option(Pem(), "", "Public key of Ed25519."),
        f"{head}.jwks_public_endpoint": Option(
            Text(), "", "Where a key set is fetched, at the start and then each hour; https, or a host of this machine."
        ),
        f"{head}.audience": Option(Text(), "", "The `aud` that tokens must have."),
        f"{head}.issuer": Option(Text(), "", "The `iss` that tokens must have."),
        f"{head}.user_id_claim": Option(Text(), "", "The claim that names the user, instead of `sub`."),
        f"{head}.require_exp": Option(Flag(), True, "Tokens that do not expire are refused."),
        f"{head}.leeway": Option(Duration(), 0.0, "By how much clocks may differ; at most a minute."),
    }


OPTIONS: dict[str, Option] = {
    "http_server.address": Option(Text(), "127.0.0.1", 'Address to listen on; "0.0.0.0" for all of IPv4.'),
    "http_server.port": Option(Number(0, 65535), 4545, "TCP port; 0 for any free one."),
    "http_server.tls.enabled": Option(Flag(), False, "Serve HTTPS and WSS."),
    "http_server.tls.cert_pem": Option(PemFile(), "", "Certificate chain."),
    "http_server.tls.key_pem": Option(PemFile(), "", "Its private key, if it is not in there."),
    "http_server.workers": Option(Number(1, 256), 1, "Processes."),
    "log.level": Option(
        Choice(("debug", "info", "warning", "error", "trace", "warn", "none", "fatal")), "info", "What is logged."
    ),
    "node.name": Option(Text(), "", "Of this node, in the API's info."),
    "shutdown.timeout": Option(Duration(0.1), 30.0, "For requests that are being answered, at the end."),
    "broker.url": Option(
        Secret(),
        "",
        'hubbub\'s brokers: "memory:", "local:", "sqlite:FILE", "redis://HOST", "nats://HOST". Left out:'
        " what `engine` or `broker` say; else memory:, or local: with several workers.",
    ),
    "client.insecure": Option(Flag(), False, "No token is needed, and everything is allowed that exists."),
    "client.allow_anonymous_connect_without_token": Option(
        Flag(), False, "Who has no token is let in, without a user."
    ),
    "client.allowed_origins": Option(
        Origins(),
        (),
        'Sites whose pages may connect, also as "https://*.example.com"; "*" for all. Left out: those that this server'
        " serves itself.",
    ),
    **_token("client.token", "connections, and for subscriptions unless they have their own"),
    "client.subscription_token.enabled": Option(Flag(), False, "Tokens of subscriptions have keys of their own."),
    **_token("client.subscription_token", "subscriptions"),
    "client.subscribe_to_user_personal_channel.enabled": Option(
        Flag(), False, "Each user is subscribed to a channel of his own, `#USER`."
    ),
    "client.subscribe_to_user_personal_channel.personal_channel_namespace": Option(Text(), "", "Its namespace."),
    "client.ping_interval": Option(Duration(0.1), 25.0, "Between two pings."),
    "client.pong_timeout": Option(Duration(0.1), 8.0, "For the answer to a ping."),
    "client.stale_close_delay": Option(Duration(0.1), 10.0, "For the connect command of a new connection."),
    "client.expired_close_delay": Option(Duration(), 25.0, "For a new token, after one has expired."),
    "client.command_rate": Option(
        Number(), 0, "Commands of one connection in a second; 0: any number. Those of two seconds may come at once."
    ),
    "client.channel_limit": Option(Number(1), 128, "Channels of one connection."),
    "client.user_connection_limit": Option(Number(), 0, "Connections of one user; 0: any number."),
    "client.connection_limit": Option(Number(), 0, "Connections of one process; 0: hubbub's own limit."),
    "client.queue_max_size": Option(Number(1024), 1024 * 1024, "Bytes that may wait for one slow client."),
    "client.history_max_publication_limit": Option(Number(1), 300, "Publications of one answer to a client."),
    "client.recovery_max_publication_limit": Option(
        Number(1), 300, "Publications that one client recovers at once. The smaller of both is taken for both."
    ),
    WITHOUT_NAMESPACE: Option(Mappings(), {}, "Options of channels without a namespace, as of namespaces below."),
    NAMESPACES: Option(Mappings(), (), "A list of namespaces, each with its name and the options below."),
    "channel.publication_data_format": Option(
        Choice(("", "json", "json_object", "binary")), "", "Of namespaces that do not say it themselves."
    ),
    "channel.max_length": Option(Number(1, 2048), 255, "Bytes of a channel's name."),
    "channel.private_prefix": Option(Text(), "$", "Channels that begin with it need a token."),
    "channel.namespace_boundary": Option(Text(), ":", "Behind a namespace."),
    "channel.user_boundary": Option(Text(), "#", "In front of the users that a channel is limited to."),
    "channel.user_separator": Option(Text(), ",", "Between these."),
    "http_api.disabled": Option(Flag(), False, "There is no HTTP API."),
    "http_api.key": Option(Secret(), "", "What programs that use it have to know. Left out: none is let in."),
    "http_api.insecure": Option(Flag(), False, "No key is needed."),
    "http_api.error_mode": Option(Choice(("", "transport")), "", '"transport": errors are HTTP statuses.'),
    "http_api.handler_prefix": Option(Prefix(), "/api", "Where it is."),
    "http_api.max_body_size": Option(Number(1024, 2**30), 8 * 1024 * 1024, "Bytes of the largest request."),
    "websocket.handler_prefix": Option(Prefix(), "/connection/websocket", "Where clients connect."),
    "websocket.message_size_limit": Option(Number(128), 65536, "Bytes of the largest frame from a client."),
    "websocket.compression": Option(Flag(), False, "Offer permessage-deflate. Costs memory and CPU."),
    "health.enabled": Option(Flag(), True, "Answer `{}` when the server is up."),
    "health.handler_prefix": Option(Prefix(), "/health", "Where."),
    "prometheus.enabled": Option(Flag(), True, "Tell Prometheus what goes on."),
    "prometheus.handler_prefix": Option(Prefix(), "/metrics", "Where."),
}

OWN: frozenset[str] = frozenset(
    key
    for key in OPTIONS
    if key in ("http_server.workers", "broker.url", "client.command_rate", "http_api.max_body_size")
    or key.rpartition(".")[2] in ("require_exp", "leeway", "eddsa_public_key")
)
"""Keys that Centrifugo has not."""


def _of_namespaces() -> dict[str, Option]:
    """Those of `Namespace`, whose docstrings the reference shows, and history by its two sides."""
    choices = {
        "force_recovery_mode": Choice(("", "stream", "cache")),
        "publication_data_format": Choice(("", "json", "json_object", "binary")),
    }
    kinds: dict[str, Kind] = {"bool": Flag(), "str": Text(), "float": Duration()}
    found: dict[str, Option] = {}
    for field in fields(Namespace):
        if field.name == "history":
            found["history_size"] = Option(Number(0, 100_000), 0, "Publications that are kept of a channel.")
            found["history_ttl"] = Option(Duration(), 0.0, "For how long after the last one. Both make a history.")
        elif field.init:
            kind = choices.get(field.name) or kinds.get(str(field.type), Texts())
            found[field.name] = Option(kind, field.default, "")
    return found


NAMESPACE: dict[str, Option] = _of_namespaces()
"""Options of one namespace."""

DEV: dict[str, Any] = {
    "client.insecure": True,
    "http_api.insecure": True,
    "channel.namespace_boundary": "",
    "channel.without_namespace": {
        "presence": True,
        "join_leave": True,
        "force_push_join_leave": True,
        "history_size": 100,
        "history_ttl": "10m",
        "force_recovery": True,
        "allowed_delta_types": ["fossil"],
        "allow_tags_filter": True,
    },
}
"""What `hubbub serve --dev` is, where nothing else is said: channels have no namespaces, and everything is allowed."""
