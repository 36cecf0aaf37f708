"""What a program does to users and their sessions, wherever these are: every node is asked, and does its part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubbub.arguments import moment, shown, text, whole
from hubbub.brokers import Position
from hubbub.errors import Misuse
from hubbub.realtime.data import encoded_json
from hubbub.realtime.handlers import judged_override
from hubbub.realtime.protocol import Disconnects
from hubbub.realtime.statistics import NodeInfo

if TYPE_CHECKING:
    from hubbub.realtime.service import Service

__all__ = ["Users"]

MOST_REASON = 123  # bytes that a close frame has for it
ANSWERED = 5.0  # seconds for all nodes to answer


class Users:
    """A part of Realtime. What it does to users reaches those of their clients that are about to connect, too."""

    _service: Service

    async def subscribe(
        self, user: str, channel: str, *, client: str = "", session: str = "", info: Any = b"", data: Any = b"",
        expire_at: float | None = None, since: Position | None = None, override: Mapping[str, bool] | None = None,
    ) -> None:  # fmt: skip
        """Subscribe a user's sessions, or one client of theirs, to a channel. Those that come later are not concerned.

        Args:
            user: "" is those of nobody.
            client: the only one, by its id; "": all of the user's.
            session: the same.
            info: what others see of them in the channel: bytes in JSON, or what can be JSON.
            data: for them, in the same way.
            expire_at: when it ends, in seconds since 1970. None: never.
            since: they get what was published behind this position, too.
            override: options of the namespace that are others for them.

        Raises: Fault: no such channel. Misuse: info or data cannot be JSON. BrokerUnavailable.
        """
        self._service.namespaces.known(channel)
        await self._tell(
            "rt.subscribe", user=user, channel=channel, client=client or session, info=encoded_json(info).decode(),
            data=encoded_json(data).decode(), expire_at=moment("expire_at", expire_at), since=since,
            override=dict(judged_override(override or {})),
        )  # fmt: skip

    async def unsubscribe(self, user: str, channel: str = "", *, client: str = "", session: str = "") -> None:
        """End a user's subscriptions to a channel, or to all with "", whoever made them. Clients are told 2000.

        Args:
            client: the only one, by its id; "": all of the user's.
            session: the same.

        Raises: BrokerUnavailable.
        """
        await self._tell("rt.unsubscribe", user=user, channel=text("channel", channel), client=client or session)

    async def disconnect(
        self, user: str, *, client: str = "", session: str = "", whitelist: Sequence[str] = (),
        code: int = Disconnects.FORCE_DISCONNECT.code, reason: str = Disconnects.FORCE_DISCONNECT.reason,
    ) -> None:  # fmt: skip
        """End a user's connections, those that are about to come about included, but for the clients in `whitelist`.

        Args:
            client: the only one, by its id; "": all of the user's.
            session: the same.
            code: clients come back after those below 3500 and from 4000 to 4499; 4000 to 4999 are the application's.
            reason: up to 123 bytes.

        Raises: Misuse: no such code, or a longer reason. BrokerUnavailable.
        """
        whole("code", code, 3000, 4999)
        if len(text("reason", reason).encode("utf-8", "surrogatepass")) > MOST_REASON:
            raise Misuse(f"reason has up to {MOST_REASON} bytes, for a close frame, not as many as {shown(reason)}")
        await self._tell(
            "rt.disconnect", user=user, client=client or session, whitelist=list(whitelist), code=code, reason=reason
        )

    async def refresh(
        self, user: str, *, client: str = "", session: str = "", expired: bool = False,
        expire_at: float | None = None, info: Any = b"",
    ) -> None:  # fmt: skip
        """Let a user's connections live until `expire_at`, in seconds since 1970, or end them as expired, with 3005.

        Args:
            client: the only one, by its id; "": all of the user's.
            session: the same.
            expire_at: None: they never expire.
            info: what others see of them from now on: bytes in JSON, or what can be JSON; b"": what they saw before.

        Raises: Misuse: info cannot be JSON. BrokerUnavailable.
        """
        await self._tell(
            "rt.refresh", user=user, client=client or session, expired=expired,
            expire_at=moment("expire_at", expire_at),
            info=encoded_json(info).decode(),
        )  # fmt: skip

    async def channels(self, pattern: str = "") -> dict[str, int]:
        """Channels with sessions, on all nodes, and how many.

        Args:
            pattern: as of file names, such as "chat:*"; "": all.

        Raises: BrokerUnavailable.
        """
        found: dict[str, int] = {}
        for answer in (await self._ask("rt.channels", pattern)).values():
            for name, clients in answer.items():
                found[name] = found.get(name, 0) + clients
        return found

    async def info(self) -> list[NodeInfo]:
        """All nodes. Raises: BrokerUnavailable."""
        return [NodeInfo(uid=node.hex(), **said) for node, said in (await self._ask("rt.info", None)).items()]

    async def _ask(self, question: str, content: Any) -> dict[bytes, Any]:
        answers, _ = await self._service.node.survey(question, content, ANSWERED)
        return answers

    async def _tell(self, what: str, **how: Any) -> None:
        text("user", how["user"])
        text("client", how["client"])
        await self._ask(what, json.dumps(how))
