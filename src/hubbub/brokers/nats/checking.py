"""What `hubbub doctor --broker` tells of NATS servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hubbub.brokers.contract import Check
from hubbub.brokers.nats.address import Address
from hubbub.brokers.nats.link import Link
from hubbub.brokers.nats.streams import Stream, Streams, version_of

__all__ = ["checks_of"]

GOOD = (2, 11)


async def checks_of(link: Link, streams: Streams, stream: Stream, address: Address) -> Sequence[Check]:
    info, config = link.info, stream.config
    trip = min([await link.flush() for _ in range(5)])
    payload = int(info.get("max_payload", 0))
    replicas = int(config.get("num_replicas", 1))
    checks = [
        Check("round trip", f"{trip * 1000:.2f} ms", "" if trip < 0.01 else "put the servers nearer to the nodes"),
        Check(
            "nats-server", str(info.get("version")),
            "" if version_of(info) >= GOOD else "2.11 or newer reads a history in one go, 2.9 record by record",
        ),
        Check("JetStream", "enabled"),
        Check(
            "storage", f"{config.get('storage')}, stream {stream.name}",
            "" if config.get("storage") == "file" else "in memory it does not survive a restart: use file",
        ),
        Check(
            "replicas", str(replicas),
            "" if replicas >= address.replicas else f"{address.replicas} are asked for: `nats stream edit --replicas`",
        ),
        Check(
            "limits", f"{stream.room} of each channel, for {stream.keep:g} s"
            + (f", {config['max_bytes']} bytes in all" if int(config.get("max_bytes", -1)) > 0 else ""),
            "" if int(config.get("max_msgs", -1)) <= 0 and int(config.get("max_bytes", -1)) <= 0
            else "where max_msgs or max_bytes is reached, histories lose their oldest publications",
        ),
        Check(
            "max_payload", f"{payload} bytes",
            "" if payload >= 1 << 20 else "publications above it are refused: raise it to 1 MiB at least",
        ),
    ]  # fmt: skip
    account = await streams.account()
    limits: dict[str, Any] = account.get("limits") or {}
    most, used = int(limits.get("max_storage", -1)), int(account.get("storage", 0))
    full = most > 0 and used > 0.8 * most
    value = f"{used} bytes used" + (f" of {most}" if most > 0 else "")
    return [*checks, Check("account", value, "it is nearly full: then nothing can be published" if full else "")]
