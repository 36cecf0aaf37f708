"""What `hubbub doctor --broker` tells of Redis servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hubbub.brokers.contract import Check
from hubbub.brokers.redis.link import Refusal, command
from hubbub.brokers.redis.servers import Shard

__all__ = ["checks_of"]

SETTINGS = ["maxmemory-policy", "client-output-buffer-limit", "appendonly", "appendfsync", "save", "timeout"]
PUBSUB = 32 << 20  # bytes: Redis' default for a subscriber's buffer


async def checks_of(shard: Shard) -> Sequence[Check]:
    info = shard.info
    server, version = shard.version
    clock = asyncio.get_running_loop().time
    trips: list[float] = []
    for _ in range(5):
        began = clock()
        await shard.link.demand(b"PING")
        trips.append(clock() - began)
    checks = [
        Check(
            "round trip", f"{min(trips) * 1000:.2f} ms",
            "" if min(trips) < 0.01 else "put the server nearer to the nodes",
        ),
        Check(f"{server}-server", f"{version} at {shard.link.place}"),
        Check("mode", info.get("redis_mode", "standalone") + f", {info.get('connected_slaves', '0')} replicas"),
    ]  # fmt: skip
    replies = await shard.link.ask([command(b"CONFIG", b"GET", name.encode()) for name in SETTINGS])
    if any(isinstance(reply, Refusal) for reply in replies):
        return [*checks, Check("settings", "this user may not see them", "allow CONFIG GET to check them")]
    said = {name: reply[1].decode() if reply else "" for name, reply in zip(SETTINGS, replies, strict=True)}
    return [*checks, *_of_settings(said, shard)]


def _of_settings(said: dict[str, str], shard: Shard) -> list[Check]:
    policy = said["maxmemory-policy"]
    bounded = shard.info.get("maxmemory", "0") != "0"
    words = said["client-output-buffer-limit"].split()
    at = words.index("pubsub") if "pubsub" in words else -1
    most = int(words[at + 1]) if at >= 0 else 0
    limit = "none" if not most else f"{most >> 20} MiB, or {int(words[at + 2]) >> 20} for {words[at + 3]} s"
    persists = said["appendonly"] == "yes" or bool(said["save"])
    if said["appendonly"] == "yes":
        kept, advice = f"appendonly, fsync {said['appendfsync']}", ""
        if said["appendfsync"] != "always":
            advice = "each restart begins all epochs anew; with appendfsync always none does"
    else:
        kept = f"snapshots ({said['save']})" if persists else "nothing"
        advice = "each restart begins all epochs anew; use appendonly yes and appendfsync always to keep histories"
    return [
        Check(
            "maxmemory-policy", policy,
            "" if policy == "noeviction" or not bounded
            else "histories and positions may be evicted: use noeviction, then publishers get an error",
        ),
        Check(
            "output buffer of subscribers", limit,
            "" if not most or most >= PUBSUB else "a node that reads slowly is cut: raise the pubsub limit to 32 MiB",
        ),
        Check("persistence", kept, advice),
        Check(
            "timeout", f"{said['timeout']} s",
            "" if said["timeout"] in ("0", "") or int(said["timeout"]) >= 5
            else "links of idle nodes are cut: use 0, or 5 s at least",
        ),
    ]  # fmt: skip
