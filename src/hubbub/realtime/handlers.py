"""What a program decides: its handlers, by pattern of channel, and what they may answer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast, get_type_hints

import msgspec

from hubbub.arguments import moment, shown, text
from hubbub.errors import HubbubError, Misuse
from hubbub.realtime.data import encoded
from hubbub.realtime.protocol import Error, Errors, Fault

__all__ = ["Accepted", "Connected", "Denied", "Handlers", "Refreshed", "Typed", "judged", "judged_override"]

F = TypeVar("F", bound=Callable[..., Any])
OVERRIDES = ("presence", "join_leave", "force_push_join_leave", "force_recovery", "force_positioning")


def judged(handler: F, decorator: str, *takes: str) -> F:
    """That function. Raises: Misuse: it is none, or takes something else."""
    if not callable(handler):
        raise Misuse(f"@rt.{decorator} stands above a function, not {shown(handler)}")
    try:
        inspect.signature(handler).bind(*takes)
    except TypeError:
        raise Misuse(f"a function under @rt.{decorator} takes {', '.join(takes)}: {shown(handler)} does not") from None
    except ValueError:  # of what is not written in Python nobody knows
        pass
    return handler


def judged_override(override: Mapping[str, bool]) -> Mapping[str, bool]:
    """Those options. Raises: Misuse: they are others."""
    given: Mapping[Any, Any] | None = override if isinstance(cast("Any", override), Mapping) else None
    if given is None or not all(name in OVERRIDES and isinstance(value, bool) for name, value in given.items()):
        raise Misuse(f"override has True or False for {', '.join(OVERRIDES)}: not {shown(override)}")
    return override


class Denied(HubbubError):
    """Raised by a handler: the client may not do it, and its command is answered with an error.

    Args:
        message: what the client is told.
        code: 103, permission denied, or one of the application's own, from 400 to 1999.
        temporary: the client library tries again, with pauses that grow.

    Raises: Misuse: another code.
    """

    def __init__(self, message: str = "permission denied", code: int = 103, temporary: bool = False) -> None:
        if code != Errors.PERMISSION_DENIED.code and not 400 <= code <= 1999:
            raise Misuse(f"the code of Denied is 103, or the application's own from 400 to 1999, not {shown(code)}")
        super().__init__(message)
        self.error: Error = Error(code=code, message=message, temporary=temporary)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What a subscribe handler may return, instead of None.

    Args:
        info: what others see of the client in this channel: bytes in JSON, or what can be JSON.
        data: for the client, in the reply.
        expire_at: when the subscription ends, in seconds since 1970. None: never.
        override: options of the namespace that are others for this client: presence, join_leave,
            force_push_join_leave, force_recovery, force_positioning.
    """

    info: Any = b""
    data: Any = b""
    expire_at: float | None = None
    override: Mapping[str, bool] = field(default_factory=dict[str, bool])

    def __post_init__(self) -> None:
        moment("Accepted.expire_at", self.expire_at)
        judged_override(self.override)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connected:
    """What a connect handler returns for a client that may connect.

    Args:
        user: who it is; "": anonymous.
        info: what others see of it: bytes in JSON, or what can be JSON.
        data: for the client, in the reply.
        meta: for the program alone.
        expire_at: when the connection ends, in seconds since 1970. None: never.
        channels: what the server subscribes it to, each with what is special there.
    """

    user: str = ""
    info: Any = b""
    data: Any = b""
    meta: Any = b""
    expire_at: float | None = None
    channels: Mapping[str, Accepted] = field(default_factory=dict[str, Accepted])

    def __post_init__(self) -> None:
        text("Connected.user", self.user)
        moment("Connected.expire_at", self.expire_at)
        given: Mapping[Any, Any] | None = self.channels if isinstance(cast("Any", self.channels), Mapping) else None
        if given is None or not all(isinstance(one, Accepted) for one in given.values()):
            raise Misuse(f'Connected.channels is such as {{"news": Accepted()}}, not {shown(self.channels)}')


@dataclass(frozen=True, kw_only=True, slots=True)
class Refreshed:
    """What a refresh handler returns for a connection or a subscription that goes on.

    Args:
        expire_at: when its time is over again, in seconds since 1970. None: never.
        info: what others see of the client from now on: bytes in JSON, or what can be JSON; b"": what they saw before.
    """

    expire_at: float | None = None
    info: Any = b""

    def __post_init__(self) -> None:
        moment("Refreshed.expire_at", self.expire_at)


class Typed:
    """A handler that takes data: decoded into what its last parameter is annotated with, or refused.

    Without annotation it gets plain Python objects; with `bytes`, what the client sent.
    """

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run: Callable[..., Any] = run
        try:
            hints = get_type_hints(run)
        except Exception as error:
            raise Misuse(f"the annotations of {shown(run)} cannot be understood: {error}") from None
        parameters = list(inspect.signature(run).parameters)
        wanted: Any = hints.get(parameters[-1], Any) if parameters else Any
        self._decode: Callable[[bytes], Any] | None = (
            None if wanted is bytes else msgspec.json.Decoder(wanted, strict=True).decode
        )

    def data(self, raw: bytes) -> Any:
        """Raises: Fault: 107: it is not of that type."""
        if self._decode is None:
            return raw
        try:
            return self._decode(raw)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Fault(Errors.BAD_REQUEST, f"data of another type: {error}") from None

    @staticmethod
    def encoded(result: Any) -> bytes:
        return b"null" if result is None else encoded(result)


class _ByPattern:
    """Handlers by pattern of channel: the first that matches, in the order in which they were given."""

    def __init__(self) -> None:
        self._all: list[tuple[re.Pattern[str], Any]] = []

    def add(self, pattern: str, handler: Any) -> None:
        parts = (re.escape(part) for part in pattern.split("*"))
        self._all.append((re.compile(".*".join(parts), re.DOTALL), handler))

    def find(self, channel: str) -> Any:
        for pattern, handler in self._all:
            if pattern.fullmatch(channel):
                return handler
        return None


class Handlers:
    """All of a program's. Each may be `def` or `async def`."""

    def __init__(self) -> None:
        self.connect: Callable[..., Any] | None = None
        self.disconnect: Callable[..., Any] | None = None
        self.message: Typed | None = None
        self.refresh: Callable[..., Any] | None = None
        self.sub_refresh: _ByPattern = _ByPattern()
        self.subscribe: _ByPattern = _ByPattern()
        self.publish: _ByPattern = _ByPattern()
        self.presence: _ByPattern = _ByPattern()
        self.rpcs: dict[str, Typed] = {}
