"""The command line: one module per command. Nothing else of hubbub knows it."""

from __future__ import annotations

from typing import Annotated

import typer

from hubbub import __version__
from hubbub.cli import connect, demo, doctor, load, publish, relay, serve, token

__all__ = ["app"]

app: typer.Typer = typer.Typer(
    name="hubbub",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="serve")(serve.serve)
app.command(name="demo")(demo.demo)
app.command(name="doctor")(doctor.doctor)
app.command(name="connect")(connect.connect)
app.command(name="load")(load.load)
app.command(name="publish")(publish.publish)
app.command(name="relay")(relay.relay)
app.command(name="token")(token.token)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hubbub {__version__}")
        raise typer.Exit


@app.callback()
def hubbub(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and stop.")
    ] = False,
) -> None:
    """Channels over WebSockets: join a channel, broadcast to it, and every member gets the message.

    Begin with `hubbub demo`, a chat in the browser; then `hubbub serve chat:Chat` for a program of your own.
    `hubbub COMMAND --help` explains each command. Every option can be set by an environment variable as well,
    which its help names: `HUBBUB_PORT=8000 hubbub serve chat:Chat`.
    """
