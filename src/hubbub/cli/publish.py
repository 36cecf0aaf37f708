"""`hubbub publish`: one message to a channel, from a shell."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import hubbub
from hubbub.brokers import broker_for
from hubbub.brokers.local import LocalBroker

__all__ = ["publish"]


def publish(
    channel: Annotated[str, typer.Argument(envvar="HUBBUB_CHANNEL", help="The channel, whose id is text.")],
    message: Annotated[str, typer.Argument(envvar="HUBBUB_MESSAGE", help="The message; - reads it from stdin.")],
    broker: Annotated[
        str,
        typer.Option(
            envvar="HUBBUB_BROKER", help="The hubs' broker: local:, sqlite:FILE, redis://HOST, nats://HOST ..."
        ),
    ] = "local:",
    binary: Annotated[
        bool, typer.Option("--binary", envvar="HUBBUB_BINARY", help="Send what stdin has as binary data.")
    ] = False,
    key: Annotated[
        str, typer.Option(envvar="HUBBUB_KEY", help="Publish it only if no message with this key was, within 300 s.")
    ] = "",
    timeout: Annotated[
        float, typer.Option(envvar="HUBBUB_TIMEOUT", min=0.1, help="Seconds to wait for the broker.")
    ] = 5.0,
) -> None:
    """Publish a message to all members of a channel, whatever process they are in.

    The programs whose clients are to see it have `Hub(broker=...)` with the same broker.

    * `hubbub publish news "It works."` publishes a text.

    * `date | hubbub publish clock - --broker nats://localhost` publishes what a program says.
    """
    if binary and message != "-":
        raise typer.BadParameter("--binary goes with a message of -, which is read from stdin")
    data = sys.stdin.buffer.read() if message == "-" else message
    sent = hubbub.binary(data) if binary and isinstance(data, bytes) else hubbub.text(data)
    alone = _alone(broker)
    done = hubbub.publish(channel, sent, broker=broker, key=key, timeout=timeout)
    if done.suppressed:
        typer.echo(f"not published: a message with this key was, as number {done.offset} of the channel")
    else:
        typer.echo(f"published as number {done.offset} of the channel (epoch {done.epoch})")
    if alone:
        typer.echo(f"but no other process was there: {alone}", err=True)


def _alone(url: str) -> str:
    """Where a relay would be, if there is none now: whoever may be meant has another path."""
    broker = broker_for(url)
    return str(broker.path) if isinstance(broker, LocalBroker) and not broker.path.exists() else ""
