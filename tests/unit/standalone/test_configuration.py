"""Every mistake in a configuration is told, with its line and what may be meant."""

# ruff: noqa: E501 (what is told is told in one line)

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hubbub.brokers import History
from hubbub.standalone import DEV, Configuration, configuration, notes, parts
from hubbub.standalone.ignored import IGNORED
from hubbub.standalone.options import NAMESPACE, OPTIONS, variable

SECRET = "s" * 32


def judged(
    tmp_path: Path, text: str, *, name: str = "hubbub.toml", variables: Mapping[str, str] = {}, **options: Any
) -> Configuration:
    path = tmp_path / name
    path.write_text(text)
    found = configuration(path, variables, options, {})
    parts(found, fetched=False)
    return found


def told(found: Configuration, tmp_path: Path) -> list[str]:
    return [str(one).removeprefix(f"{tmp_path}/") for one in found.mistakes]


MISTAKES = [
    ('[client]\nalowed_origins = ["*"]', "hubbub.toml:2: client.alowed_origins: there is no such key: did you mean client.allowed_origins?"),
    ('[clients]\ninsecure = true', "hubbub.toml:1: clients: there is no such key: did you mean client?"),
    ('allowed_origins = ["*"]', "hubbub.toml:1: allowed_origins: there is no such key: did you mean client.allowed_origins?"),
    ('token_hmac_secret_key = "x"', "hubbub.toml:1: token_hmac_secret_key: there is no such key: did you mean client.token.hmac_secret_key?"),
    ('presence = true', "hubbub.toml:1: presence: there is no such key: did you mean channel.without_namespace.presence?"),
    ('[client]\n\ninsecure = "yes"', "hubbub.toml:3: client.insecure: it is true or false, without quotes, not 'yes'"),
    ('client = 5', "hubbub.toml:1: client: it is a table of options"),
    ('[http_server]\nport = 70000', "hubbub.toml:2: http_server.port: it is a whole number from 0 to 65535, without quotes, not 70000"),
    ('[client]\nping_interval = 25', "hubbub.toml:2: client.ping_interval: it is a duration in quotes with its unit, such as \"300s\", \"5m\" or \"1h30m\", not 25"),
    ('[client]\nping_interval = "25"', "hubbub.toml:2: client.ping_interval: it is a duration in quotes with its unit, such as \"300s\", \"5m\" or \"1h30m\", not '25'"),
    ('[client]\npong_timeout = "30s"', "hubbub.toml:1: client: Bounds.pong_timeout (30) is less than Bounds.ping (25)"),
    ('[client]\nallowed_origins = "*"', "hubbub.toml:2: client.allowed_origins: it is a list of texts: [\"one\", \"another\"], not '*'"),
    ('[client]\nallowed_origins = ["example.com"]', "hubbub.toml:2: client.allowed_origins: it is a list of origins such as \"https://example.com\", without a path, or \"*\", not ['example.com']"),
    ('[http_api]\nhandler_prefix = "api"', "hubbub.toml:2: http_api.handler_prefix: it is the path of a URL that begins with a slash, such as \"/connection/websocket\", not 'api'"),
    ('[channel]\nnamespaces = {}', "hubbub.toml:2: channel.namespaces: it is a list of tables, not {}"),
    ('[channel]\nwithout_namespace = []', "hubbub.toml:2: channel.without_namespace: it is a table of options, not []"),
    ('[[channel.namespaces]]\npresence = true', "hubbub.toml:1: channel.namespaces[0].name: a namespace has a name of at least two letters, digits, hyphens and underscores, not None"),
    ('[[channel.namespaces]]\nname = "a"', "hubbub.toml:2: channel.namespaces[0].name: a namespace has a name of at least two letters, digits, hyphens and underscores, not 'a'"),
    ('[[channel.namespaces]]\nname = "aa"\n[[channel.namespaces]]\nname = "aa"', "hubbub.toml:4: channel.namespaces[1].name: a second 'aa'"),
    ('[[channel.namespaces]]\nname = "aa"\n[[channel.namespaces]]\nname = "bb"\nhistroy_size = 1', "hubbub.toml:5: bb.histroy_size: there is no such option of a namespace: did you mean history_size?"),
    ('[[channel.namespaces]]\nname = "aa"\nhistory_size = 10', "hubbub.toml:3: namespace 'aa': history needs both history_size and history_ttl"),
    ('[[channel.namespaces]]\nname = "aa"\nforce_recovery = true', "hubbub.toml:3: namespace 'aa': force_recovery needs history, from which to recover"),
    ('[[channel.namespaces]]\nname = "aa"\nchannel_regex = "["', "hubbub.toml:3: namespace 'aa': channel_regex is no regular expression: unterminated character set at position 0"),
    ('[channel.without_namespace]\nforce_recovery_mode = "cash"', "hubbub.toml:2: channel.without_namespace.force_recovery_mode: it is one of \"\", \"stream\", \"cache\", not 'cash'"),
    ('[channel.without_namespace]\nsubscription_type = "map"', "hubbub.toml:2: channel.without_namespace.subscription_type: channels are streams: leave it out"),
    ('[client]\ndisallow_anonymous_connection_tokens = true', "hubbub.toml:2: client.disallow_anonymous_connection_tokens: tokens without a user are let in: have whoever makes tokens name one"),
    ('[client.subscribe_to_user_personal_channel]\nenabled = true\npersonal_channel_namespace = "me"', "hubbub.toml:3: client.subscribe_to_user_personal_channel.personal_channel_namespace: there is no namespace 'me'"),
    ('[client.token]\nrsa_public_key = "/nowhere"', "hubbub.toml:2: client.token.rsa_public_key: it is a key in PEM, or the path of a file with one, and that cannot be read: No such file or directory, not '/nowhere'"),
    ('[client.token]\njwks_public_endpoint = "http://example.com/keys"', "hubbub.toml:1: client.token: jwks_public_endpoint: a key set comes over https, or from this machine: anybody between could change it"),
    ('[client.token]\nhmac_previous_secret_key = "x"', "hubbub.toml:1: client.token: a previous secret needs hmac_secret_key, which replaces it"),
    ('[client.subscription_token]\nhmac_secret_key = "x"', "hubbub.toml:1: client.subscription_token: its keys count only with enabled = true"),
    ('[broker]\nurl = "mysql://x"', "hubbub.toml:1: broker: no broker has the URL 'mysql://x': it is memory:, local:, sqlite:PATH, redis://HOST, rediss://HOST, unix:///PATH of Redis, or nats://HOST"),
    ('[engine]\ntype = "kafka"', "hubbub.toml:2: engine.type: it is memory or redis; for others set broker.url"),
    ('[engine]\ntpe = "redis"', "hubbub.toml:2: engine.tpe: there is no such key: an engine has type and redis"),
    ('[http_server]\nworkers = 2\n[broker]\nurl = "memory:"', "hubbub.toml:3: broker: memory: joins no processes: leave it out, or have one worker"),
    ('[http_server.tls]\nenabled = true', "hubbub.toml:1: http_server.tls: it is enabled, and needs cert_pem"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "complaint"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_told_with_its_line_and_a_suggestion(tmp_path: Path, text: str, complaint: str) -> None:
    assert told(judged(tmp_path, text), tmp_path) == [complaint]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = judged(tmp_path, '[client]\ninsecure = 1\n[log]\nlevel = "loud"\n[http_api]\nkye = "x"')
    assert [one.partition(": ")[0] for one in told(found, tmp_path)] == [
        "hubbub.toml:2",
        "hubbub.toml:4",
        "hubbub.toml:6",
    ]


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        '[client]\ntoken = "hush-hush"\n[http_api]\nkey = 12345678\n[broker]\nurl = "redis://u:hush-hush@h:bad"\n'
        '[client.subscription_token]\nenabled = true\nrsa_public_key = "-----BEGIN hush-hush"',
    )
    assert found.mistakes
    assert "hush" not in str(found.mistakes)
    assert "12345678" not in str(found.mistakes)


def test_what_counts_more_wins(tmp_path: Path) -> None:
    text = '[http_server]\nport = 1\n[http_api]\nkey = "file"\n[client]\nchannel_limit = 5\n'
    variables = {"HUBBUB_HTTP_SERVER_PORT": "2", "HUBBUB_HTTP_API_KEY": "variable"}
    found = judged(tmp_path, text, variables=variables, **{"http_server.port": 3})
    assert [found.values[key] for key in ("http_server.port", "http_api.key", "client.channel_limit")] == [
        3,
        "variable",
        5,
    ]
    assert not found.mistakes


def test_variables_of_every_kind(tmp_path: Path) -> None:
    variables = {
        "HUBBUB_CLIENT_INSECURE": "true",
        "HUBBUB_CLIENT_ALLOWED_ORIGINS": "https://a.example https://b.example",
        "HUBBUB_CLIENT_PING_INTERVAL": "1m",
        "HUBBUB_CHANNEL_NAMESPACES": '[{"name": "chat-room", "presence": true}]',
        "HUBBUB_CHANNEL_NAMESPACES_CHAT_ROOM_HISTORY_SIZE": "10",
        "HUBBUB_CHANNEL_NAMESPACES_CHAT_ROOM_HISTORY_TTL": "300s",
        "HUBBUB_CHANNEL_WITHOUT_NAMESPACE_PRESENCE": "1",
    }
    found = judged(tmp_path, "", variables=variables)
    assert not found.mistakes
    assert found.values["client.allowed_origins"] == ("https://a.example", "https://b.example")
    assert found.values["client.ping_interval"] == 60.0
    assert found.namespaces["chat-room"].history == History(10, 300)
    assert found.namespaces[""].presence


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("HUBBUB_CLIENT_INSECURE", "maybe", "HUBBUB_CLIENT_INSECURE: it is true or false, not 'maybe'"),
        ("HUBBUB_CLIENT_INSECUR", "true", "HUBBUB_CLIENT_INSECUR: there is no such variable: did you mean HUBBUB_CLIENT_INSECURE?"),
        ("HUBBUB_HTTP_SERVER_PORT", "x", "HUBBUB_HTTP_SERVER_PORT: it is a whole number from 0 to 65535, not 'x'"),
("HUBBUB_CHANNEL_NAMESPACES", "[chat]", "HUBBUB_CHANNEL_NAMESPACES: it is a list of objects in JSON, or of names with spaces between, not '[chat]'"),
        ("HUBBUB_CHANNEL_NAMESPACES", '{"a": 1}', "HUBBUB_CHANNEL_NAMESPACES: channel.namespaces: it is a list of tables, not {'a': 1}"),
        ("HUBBUB_CHANNEL_NAMESPACES", "a", "HUBBUB_CHANNEL_NAMESPACES: channel.namespaces[0].name: a namespace has a name of at least two letters, digits, hyphens and underscores, not 'a'"),
    ],
)  # fmt: skip
def test_mistakes_in_variables(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    assert told(judged(tmp_path, "", variables={name: text}), tmp_path) == [complaint]


def test_namespaces_may_be_named_in_one_variable_and_described_in_others(tmp_path: Path) -> None:
    variables = {
        "HUBBUB_CHANNEL_NAMESPACES": "chat  news",
        "HUBBUB_CHANNEL_NAMESPACES_NEWS_HISTORY_SIZE": "2",
        "HUBBUB_CHANNEL_NAMESPACES_NEWS_HISTORY_TTL": "300s",
        "HUBBUB_CHANNEL_WITHOUT_NAMESPACE_ALLOWED_DELTA_TYPES": "fossil",
    }
    found = judged(tmp_path, "", variables=variables)
    assert not found.mistakes
    assert set(found.namespaces) == {"", "chat", "news"}
    assert found.namespaces["news"].history == History(2, 300)
    assert found.namespaces[""].allowed_delta_types == ("fossil",)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("HUBBUB_CHANNEL_NAMESPACES_CHAT_PRESENSE", "HUBBUB_CHANNEL_NAMESPACES_CHAT_PRESENCE"),
        ("HUBBUB_CHANNEL_WITHOUT_NAMESPACE_HISTROY_SIZE", "HUBBUB_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE"),
    ],
)
def test_mistakes_in_names_of_variables_of_namespaces(tmp_path: Path, name: str, complaint: str) -> None:
    found = judged(tmp_path, "", variables={"HUBBUB_CHANNEL_NAMESPACES": "chat", name: "1"})
    assert told(found, tmp_path) == [f"{name}: there is no such variable: did you mean {complaint}?"]


def test_variables_that_kubernetes_sets_are_no_mistakes(tmp_path: Path) -> None:
    variables = {
        "HUBBUB_HTTP_SERVER_PORT": "tcp://10.0.0.1:80",
        "HUBBUB_CLIENT_SERVICE_HOST": "10.0.0.1",
        "HUBBUB_CLIENT_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert not judged(tmp_path, "", variables=variables).mistakes


CENTRIFUGO = {
    "client": {
        "token": {"hmac_secret_key": SECRET},
        "allowed_origins": ["http://localhost:3000"],
        "proxy": {"connect": {"enabled": True, "endpoint": "http://localhost/connect"}},
        "presence_update_interval": "27s",
    },
    "channel": {
        "without_namespace": {"history_size": 10, "history_ttl": "300s", "force_recovery": True},
        "namespaces": [{"name": "chat", "presence": True, "join_leave": True, "history_meta_ttl": "1h"}],
    },
    "http_api": {"key": "k"},
    "admin": {"enabled": True, "password": "p", "secret": "s"},
    "engine": {"type": "redis", "redis": {"address": "redis://127.0.0.1:6379", "prefix": "app", "io_timeout": "4s"}},
    "uni_sse": {"enabled": True},
    "prometheus": {"enabled": True},
}


def test_a_file_of_centrifugos_is_taken_and_what_is_ignored_is_listed(tmp_path: Path) -> None:
    found = judged(tmp_path, json.dumps(CENTRIFUGO, indent=1), name="config.json")
    assert not found.mistakes
    assert {one.key for one in found.ignored} == {
        "client.proxy", "client.presence_update_interval", "chat.history_meta_ttl", "admin", "engine.redis.io_timeout",
        "uni_sse",
    }  # fmt: skip
    assert all(one.where.startswith(str(tmp_path / "config.json:")) for one in found.ignored)
    made = parts(found)
    assert made is not None
    assert made.broker == "redis://127.0.0.1:6379?prefix=app"
    assert made.tokens is not None
    assert found.namespaces["chat"].join_leave
    assert found.namespaces[""].history == History(10, 300)


def test_a_namespace_whose_channels_are_no_streams_is_left_out(tmp_path: Path) -> None:
    text = '[[channel.namespaces]]\nname = "board"\nsubscription_type = "map"\nmap = {mode = "x"}\nwhatever = 1'
    found = judged(tmp_path, text, variables={"HUBBUB_CHANNEL_NAMESPACES_BOARD_PRESENCE": "true"})
    assert not found.mistakes
    assert "board" not in found.namespaces
    assert [str(one).removeprefix(f"{tmp_path}/") for one in found.ignored] == [
        "hubbub.toml:3: board: channels are streams: this namespace is left out"
    ]


def test_the_defaults_are_safe(tmp_path: Path) -> None:
    found = judged(tmp_path, "")
    assert not found.mistakes
    for key in ("client.insecure", "client.allow_anonymous_connect_without_token", "http_api.insecure"):
        assert found.values[key] is False
    assert found.values["http_server.address"] == "127.0.0.1"
    assert found.values["client.token.require_exp"]
    assert found.namespaces[""].allow_subscribe_for_client is False


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "client.token"),
        ("", "http_api.key"),
        ('[http_server]\naddress = "0.0.0.0"\n[client]\ninsecure = true', "client.insecure"),
        ('[http_server]\naddress = "0.0.0.0"\n[http_api]\ninsecure = true', "http_api.insecure"),
    ],
)
def test_what_may_not_be_meant_is_said(tmp_path: Path, text: str, key: str) -> None:
    assert key in {note.key for note in notes(judged(tmp_path, text))}


def test_dev_allows_everything_and_has_no_namespaces() -> None:
    found = configuration(None, {}, {}, DEV)
    assert parts(found) is not None
    assert found.values["client.insecure"]
    assert found.namespaces[""].presence
    assert found.namespaces[""].history


def test_no_two_keys_have_one_variable() -> None:
    assert len({variable(key) for key in OPTIONS}) == len(OPTIONS)


def test_no_key_is_both_taken_and_ignored() -> None:
    for ignored in IGNORED:
        assert not [key for key in OPTIONS if key == ignored or key.startswith(f"{ignored}.")]


def test_every_option_of_a_namespace_can_be_read() -> None:
    assert {"history_size", "history_ttl", "presence", "allow_user_limited_channels"} <= NAMESPACE.keys()
    for option in NAMESPACE.values():
        default = {(): [], 0.0: 0}.get(option.default, option.default) if option.default is not False else False
        assert option.kind.read(default) == option.default
