"""`hubbub load`: how a deployment does under so many connections and messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hubbub.cli.gauge import Gauge, show
from hubbub.cli.options import by_line, to_headers
from hubbub.errors import Misuse
from hubbub.load import Plan, run

__all__ = ["load"]

DEFAULT = Plan(url="ws://127.0.0.1:4545")


def load(
    url: Annotated[
        str,
        typer.Argument(envvar="HUBBUB_LOAD_URL", help="ws:// or wss:// address. It may hold the places of templates."),
    ],
    connections: Annotated[
        int, typer.Option("--connections", "-c", envvar="HUBBUB_LOAD_CONNECTIONS", min=1, help="How many to open.")
    ] = DEFAULT.connections,
    rooms: Annotated[
        int, typer.Option("--rooms", "-r", envvar="HUBBUB_LOAD_ROOMS", min=1, help="They are spread over so many.")
    ] = DEFAULT.rooms,
    rate: Annotated[
        float,
        typer.Option(envvar="HUBBUB_LOAD_RATE", help="Messages published in a second, in all rooms together."),
    ] = DEFAULT.rate,
    payload: Annotated[
        int, typer.Option(envvar="HUBBUB_LOAD_PAYLOAD", help="Bytes of each, without what the server adds; from 33.")
    ] = DEFAULT.payload,
    duration: Annotated[
        float, typer.Option("--duration", "-d", envvar="HUBBUB_LOAD_DURATION", help="Seconds of publishing.")
    ] = DEFAULT.duration,
    join: Annotated[
        list[str] | None,
        typer.Option(
            envvar="HUBBUB_LOAD_JOIN",
            callback=by_line,
            metavar="TEMPLATE",
            help="What each connection sends to join; may be repeated, or empty for nothing.",
            show_default=DEFAULT.join[0],
        ),
    ] = None,
    say: Annotated[
        str, typer.Option(envvar="HUBBUB_LOAD_SAY", metavar="TEMPLATE", help="What it sends to publish.")
    ] = DEFAULT.say,
    echo: Annotated[
        bool, typer.Option("--echo", envvar="HUBBUB_LOAD_ECHO", help="The server sends everything back: no rooms.")
    ] = False,
    to_self: Annotated[
        bool | None,
        typer.Option(
            "--self/--no-self",
            envvar="HUBBUB_LOAD_SELF",
            help="Whether publishers get their own messages; left out, it is found out.",
        ),
    ] = None,
    room_name: Annotated[
        str, typer.Option(envvar="HUBBUB_LOAD_ROOM_NAME", metavar="TEMPLATE", help="What rooms are called.")
    ] = DEFAULT.room_name,
    header: Annotated[
        list[str] | None,
        typer.Option(
            envvar="HUBBUB_LOAD_HEADER",
            callback=by_line,
            metavar="'NAME: VALUE'",
            help="Send this header too; may be repeated, and may hold places.",
        ),
    ] = None,
    subprotocol: Annotated[
        list[str] | None,
        typer.Option(envvar="HUBBUB_LOAD_SUBPROTOCOL", help="Offer this subprotocol; may be repeated."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="HUBBUB_LOAD_INSECURE", help="Accept any TLS certificate.")
    ] = False,
    ca: Annotated[
        Path | None,
        typer.Option(envvar="HUBBUB_LOAD_CA", exists=True, dir_okay=False, help="Trust these authorities (PEM)."),
    ] = None,
    ramp: Annotated[
        float, typer.Option(envvar="HUBBUB_LOAD_RAMP", help="Connections opened in a second; 0 for all at once.")
    ] = DEFAULT.ramp,
    timeout: Annotated[
        float, typer.Option(envvar="HUBBUB_LOAD_TIMEOUT", help="Seconds for one connection to open.")
    ] = DEFAULT.timeout,
    settle: Annotated[
        float, typer.Option(envvar="HUBBUB_LOAD_SETTLE", help="Seconds between the last join and the first message.")
    ] = DEFAULT.settle,
    drain: Annotated[
        float, typer.Option(envvar="HUBBUB_LOAD_DRAIN", help="Most seconds to wait for late messages at the end.")
    ] = DEFAULT.drain,
    processes: Annotated[
        int, typer.Option(envvar="HUBBUB_LOAD_PROCESSES", min=1, help="Processes that share the work.")
    ] = DEFAULT.processes,
    as_json: Annotated[
        str | None,
        typer.Option("--json", envvar="HUBBUB_LOAD_JSON", metavar="FILE", help="Write it as JSON too; - for stdout."),
    ] = None,
) -> None:
    """Load a server with connections, rooms and messages, and report latency, losses and order.

    Every member of a room is expected to get everything that is published there, once, and in its publisher's order.
    Ctrl+C ends the publishing and reports what there is; a second one exits at once.

    * `hubbub load ws://127.0.0.1:4545 -c 1000 --rooms 10 --rate 100` speaks the protocol of hubbub's README.
    * `hubbub load ws://127.0.0.1:8000/echo --echo -c 500 --rate 5000` is for servers that send back what they get.
    * `hubbub load 'wss://example.com/rooms/{room}' --join '' --say '{payload}'` takes the room from the path.
    * `hubbub load wss://example.com/ws --join '{"subscribe": "{room}"}' --say '{"publish": ["{room}", "{payload}"]}'`
      is for a protocol of your own.

    In templates `{room}` is the room's name, `{number}` its number from 0, `{connection}` the connection's number from
    0, and `{payload}` what is measured: it has to come back as it was, in whatever envelope, but not encoded.

    It exits with 0 if all went well, with 1 if messages were lost, repeated, out of order or astray or connections
    failed, and with 2 if it was called wrongly.
    """
    try:
        plan = Plan(
            url=url,
            connections=connections,
            rooms=rooms,
            rate=rate,
            payload=payload,
            duration=duration,
            join=DEFAULT.join if join is None else tuple(template for template in join if template),
            say="{payload}" if echo and say == DEFAULT.say else say,
            echo=echo,
            to_self=to_self,
            room_name=room_name,
            headers=tuple(to_headers(header or [])),
            subprotocols=tuple(subprotocol or ()),
            insecure=insecure,
            ca=ca,
            ramp=ramp,
            timeout=timeout,
            settle=settle,
            drain=drain,
            processes=processes,
        )
        raise typer.Exit(measure(plan, as_json))
    except Misuse as error:
        raise typer.BadParameter(str(error)) from None


def measure(plan: Plan, as_json: str | None) -> int:
    """Run a plan, show how it goes and what it found. Returns the exit code."""
    screen = Console(stderr=True, highlight=False)
    try:
        if as_json not in (None, "-"):
            Path(str(as_json)).touch()  # now, and not when all is measured
    except OSError as error:
        raise Misuse(f"cannot write the report: {error}") from None
    try:
        with Gauge(plan, screen) as gauge:
            report = run(plan, gauge.update)
    except KeyboardInterrupt:
        return 130
    show(report, screen if as_json == "-" else Console(highlight=False))
    if as_json == "-":
        typer.echo(report.as_json())
    elif as_json is not None:
        Path(as_json).write_text(report.as_json() + "\n")
    return 0 if report.sound else 1
