"""`hubbub token`: tokens of connections and subscriptions, made and read."""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hubbub import Misuse
from hubbub.cli.options import by_line
from hubbub.logs import printable

__all__ = ["token"]

LARGEST = 64 * 1024  # characters of a token that is read


def token(
    user: Annotated[
        str, typer.Argument(envvar="HUBBUB_USER", show_default=False, help="Whose; left out, nobody's: anonymous.")
    ] = "",
    channel: Annotated[
        str, typer.Option(envvar="HUBBUB_CHANNEL", help="For a subscription to this channel, not for a connection.")
    ] = "",
    client: Annotated[str, typer.Option(envvar="HUBBUB_CLIENT", help="For this client of the user alone.")] = "",
    ttl: Annotated[
        float, typer.Option(envvar="HUBBUB_TTL", min=0, metavar="SECONDS", help="Until it expires; 0: never.")
    ] = 3600.0,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            envvar="HUBBUB_CLAIM",
            callback=by_line,
            metavar="NAME=JSON",
            help="One more claim, such as info or channels; may be repeated.",
        ),
    ] = None,
    check: Annotated[
        str, typer.Option(envvar="HUBBUB_TOKEN", metavar="TOKEN", help="Read this one instead; - reads it from stdin.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(envvar="HUBBUB_CONFIG", exists=True, dir_okay=False, help="The server's file, with the secret."),
    ] = None,
) -> None:
    """Make a token that lets a user connect, or subscribe to a channel; or read one, and say whether it is good.

    The secret is that of the server's configuration, client.token.hmac_secret_key: in the file, or in the variable
    HUBBUB_CLIENT_TOKEN_HMAC_SECRET_KEY. It is never shown.

    * `hubbub token 42 --config hubbub.toml` makes one for the user 42, for an hour.
    * `hubbub token 42 --channel news --claim 'info={"name": "Ada"}'` makes one for a subscription.
    * `hubbub token --check eyJhb...` says what a token holds, and whether the server takes it.
    """
    if check:
        raise typer.Exit(_check(sys.stdin.read(LARGEST).strip() if check == "-" else check, config))
    claims = dict(map(_claim, claim or []))
    tokens = _tokens(config, of_subscription=bool(channel))
    if tokens is None:
        raise Misuse(
            "there is no secret: set client.token.hmac_secret_key in a file for --config, or the variable"
            " HUBBUB_CLIENT_TOKEN_HMAC_SECRET_KEY"
        )
    claims |= {name: value for name, value in (("channel", channel), ("client", client)) if value}
    made = tokens.make(user, ttl=ttl or None, **claims)
    typer.echo(made)
    if reason := _refusal(tokens, made, user, claims):
        typer.echo(f"hubbub: the server that is configured so will not take it: {reason}", err=True)


def _tokens(config: Path | None, *, of_subscription: bool) -> Any:
    """What checks and makes tokens; None: there is no key. Raises: Misuse: the configuration is wrong."""
    from hubbub.standalone import configuration, parts

    found = configuration(config, os.environ, {}, {})
    made = parts(found)
    if made is None or found.mistakes:
        raise Misuse("; ".join(map(str, found.mistakes)))
    return (made.subscription_tokens if of_subscription else None) or made.tokens


def _claim(setting: str) -> tuple[str, Any]:
    name, equals, value = setting.partition("=")
    try:
        if not equals or not name:
            raise ValueError
        return name, json.loads(value)
    except ValueError:
        raise typer.BadParameter(f'a claim is NAME=JSON, such as \'info={{"name": "Ada"}}\', not {setting!r}') from None


def _check(given: str, config: Path | None) -> int:
    """Say what it holds and whether it is good. Returns the exit status."""
    header, claims = _read(given)
    typer.echo(f"algorithm: {printable(header.get('alg'))}")
    for name, value in claims.items():
        shown = json.dumps(value)
        typer.echo(f"{printable(name)}: {shown}{_moment(name, value)}")
    channel = claims.get("channel")
    tokens = _tokens(config, of_subscription=bool(channel))
    if tokens is None:
        typer.echo("not checked: the configuration has no key")
        return 1
    if reason := _refusal(tokens, given, str(claims.get("sub", "")), claims):
        typer.echo(f"not good: {reason}")
        return 1
    typer.echo(f"good, for {'a subscription' if channel else 'a connection'}")
    return 0


def _refusal(tokens: Any, given: str, user: str, claims: Mapping[str, Any]) -> str:
    """Why it is not good; "": it is."""
    from hubbub.realtime.protocol import Fault

    try:
        if channel := claims.get("channel"):
            tokens.subscription(given, channel=channel, user=user, client=str(claims.get("client", "")))
        else:
            tokens.connection(given)
    except Fault as fault:
        return str(fault)
    return ""


def _read(given: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unchecked. Raises: Misuse: it is no token."""
    try:
        header, claims, _ = given.split(".")
        found: list[Any] = [json.loads(_decoded(part)) for part in (header, claims)]
        if not (len(given) <= LARGEST and all(isinstance(one, dict) for one in found)):
            raise ValueError
        return found[0], found[1]
    except (ValueError, RecursionError, binascii.Error):
        raise Misuse("this is no token: three parts, with a dot between") from None


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _moment(name: str, value: Any) -> str:
    """When that is, of claims that are moments."""
    if name not in ("exp", "nbf", "iat", "expire_at") or not isinstance(value, (int, float)) or isinstance(value, bool):
        return ""
    if not 0 < value < 2**40:
        return ""
    away, moment = value - time.time(), time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value))
    return f" ({moment} UTC, {abs(away):.0f} s {'from now' if away > 0 else 'ago'})"
