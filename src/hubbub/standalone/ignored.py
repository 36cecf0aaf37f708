"""Keys of Centrifugo's configuration that are not hubbub's: what is passed over, and what cannot be."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["IGNORED", "IGNORED_IN_NAMESPACES", "REFUSED", "REFUSED_IN_NAMESPACES", "Refusal"]

PROXY = "no program is asked over HTTP: write it in Python, and serve that with `hubbub serve module:rt`"
NOT_HERE = "hubbub has no such transport: clients connect by WebSocket"

IGNORED: dict[str, str] = {
    "admin": "there is no such page",
    "channel.history_meta_ttl": "positions live for 30 days",
    "channel.proxy": PROXY,
    "client.channel_position_check_delay": "each node keeps its positions itself",
    "client.channel_position_max_time_lag": "each node keeps its positions itself",
    "client.concurrency": "commands of a connection are carried out one after the other",
    "client.connect_code_to_unidirectional_disconnect": NOT_HERE,
    "client.connect_include_server_time": "clients are not told the time",
    "client.connection_rate_limit": "connections are accepted as fast as they come; a proxy in front can bound that",
    "client.expired_sub_close_delay": "client.expired_close_delay is for both",
    "client.presence_update_interval": "presence is kept by nodes, and is not sent again",
    "client.proxy": PROXY,
    "client.rate_limit": "client.command_rate bounds the commands of a connection, whatever they are",
    "client.subscription_token.insecure_skip_jwks_endpoint_safety_check": "only https is fetched, or from this machine",
    "client.token.insecure_skip_jwks_endpoint_safety_check": "only https is fetched, or from this machine",
    "client.user_id_http_header": "users are known by their tokens alone",
    "consumers": "there are none: publish over the HTTP API, or from Python",
    "controller": "the broker carries what nodes tell each other",
    "debug": "that is of Go",
    "emulation": NOT_HERE,
    "enable_unreleased_features": "there are none",
    "graphite": "metrics are for Prometheus",
    "grpc_api": "programs use the HTTP API",
    "http_api.external": "there is one port",
    "http_server.h2c_external": "HTTP/1.1 is served",
    "http_server.http3": "HTTP/1.1 is served",
    "http_server.internal_address": "there is one port",
    "http_server.internal_port": "there is one port",
    "http_server.internal_tls": "there is one port",
    "http_server.tls.server_name": "that is of clients",
    "http_server.tls.server_ca_pem": "that is of clients",
    "http_server.tls_autocert": "have a proxy in front that fetches certificates",
    "http_server.tls_external": "there is one port",
    "http_stream": NOT_HERE,
    "init": "there is no such endpoint",
    "log.file": "logs go to stdout",
    "map_broker": "there are no map subscriptions",
    "node.info_metrics_aggregate_interval": "the API's info has no metrics",
    "opentelemetry": "metrics are for Prometheus",
    "pid_file": "let systemd, or a container, know the process",
    "presence_manager": "the broker keeps presence",
    "prometheus.instrument_http_handlers": "requests to the API are counted always",
    "prometheus.native_histograms": "there are no histograms",
    "prometheus.recovered_publications_histogram": "there are no histograms",
    "proxies": PROXY,
    "rpc": PROXY,
    "shared_poll": "there are no shared poll subscriptions",
    "sse": NOT_HERE,
    "swagger": "there is no such page",
    "uni_grpc": NOT_HERE,
    "uni_http_stream": NOT_HERE,
    "uni_sse": NOT_HERE,
    "uni_websocket": NOT_HERE,
    "usage_stats": "nothing is sent anywhere",
    "websocket.compression_level": "the level is 1",
    "websocket.compression_min_size": "hubbub chooses it",
    "websocket.decompressed_message_size_limit": "websocket.message_size_limit holds for the inflated size, too",
    "websocket.read_buffer_size": "that is of Go",
    "websocket.use_write_buffer_pool": "that is of Go",
    "websocket.write_buffer_size": "that is of Go",
    "websocket.write_timeout": "slow clients are judged by what waits for them",
    "webtransport": NOT_HERE,
}
"""By the key, or the one above it: why nothing comes of it."""

IGNORED_IN_NAMESPACES: dict[str, str] = {
    "history_meta_ttl": "positions live for 30 days",
    "map": "there are no map subscriptions",
    "map_clients_presence_channel_prefix": "there are no map subscriptions",
    "map_users_presence_channel_prefix": "there are no map subscriptions",
    "shared_poll": "there are no shared poll subscriptions",
    "publish_proxy_name": PROXY,
    "sub_refresh_proxy_name": PROXY,
    "subscribe_proxy_name": PROXY,
    "subscribe_stream_proxy_bidirectional": PROXY,
    "subscribe_stream_proxy_enabled": PROXY,
    "subscribe_stream_proxy_name": PROXY,
}


class Refusal(NamedTuple):
    """What cannot be passed over, since more would be allowed than is meant."""

    harmless: frozenset[object]
    """Values that ask for nothing."""
    reason: str


_NOTHING = frozenset({"", False})

REFUSED: dict[str, Refusal] = {
    "client.disallow_anonymous_connection_tokens": Refusal(
        _NOTHING, "tokens without a user are let in: have whoever makes tokens name one"
    ),
    "client.insecure_skip_token_signature_verify": Refusal(
        _NOTHING, "signatures are always checked: give the key, or use client.insecure"
    ),
    "client.subscribe_to_user_personal_channel.single_connection": Refusal(
        _NOTHING, "a user may have several connections: client.user_connection_limit bounds them"
    ),
    "http_server.tls.client_ca_pem": Refusal(_NOTHING, "certificates of clients are not checked: have a proxy do it"),
    "http_server.tls.insecure_skip_verify": Refusal(_NOTHING, "that is of clients"),
    "websocket.disabled": Refusal(_NOTHING, "clients connect by WebSocket alone"),
    **{
        f"client.{token}.{name}": Refusal(_NOTHING, f"a regular expression is not looked at: use {exact}")
        for token in ("token", "subscription_token")
        for name, exact in (("audience_regex", "audience"), ("issuer_regex", "issuer"))
    },
}
"""By the key."""

REFUSED_IN_NAMESPACES: dict[str, Refusal] = {
    "subscription_type": Refusal(frozenset({"", "stream"}), "channels are streams: leave it out"),
    "subscribe_proxy_enabled": Refusal(_NOTHING, PROXY),
    "publish_proxy_enabled": Refusal(_NOTHING, PROXY),
    "sub_refresh_proxy_enabled": Refusal(_NOTHING, PROXY),
}
