"""The faults that are injected, each a coroutine that is over when the fault is; the world then has to get well."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from faults.engines import NatsEngine, RedisEngine
from faults.proxy import Proxy
from faults.world import PATIENCE, World

__all__ = ["FAULTS", "Fault", "fault"]

Inject = Callable[[World, random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    name: str
    what: str
    inject: Inject
    engines: tuple[str, ...]
    proxied: bool = False
    keeps: bool = True  # what the engine has acknowledged and says that it keeps


FAULTS: list[Fault] = []
ALL = ("local", "sqlite", "nats", "redis")


def fault(
    engines: tuple[str, ...] = ALL, proxied: bool = False, keeps: bool = True, among: list[Fault] = FAULTS
) -> Callable[[Inject], Inject]:
    def note(inject: Inject) -> Inject:
        name = inject.__name__.replace("_", "-")
        among.append(Fault(name, str(inject.__doc__), inject, engines, proxied, keeps))
        return inject

    return note


@fault()
async def kill_worker(world: World, chance: random.Random) -> None:
    """kill -9 of a worker, which is started again"""
    worker = chance.choice(world.workers)
    await worker.kill()
    await world.again(worker)


@fault()
async def stop_worker(world: World, chance: random.Random) -> None:
    """SIGSTOP of a worker for less than its lease"""
    worker = chance.choice(world.workers)
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(0.3)
    worker.signal(signal.SIGCONT)


@fault()
async def stop_worker_for_long(world: World, chance: random.Random) -> None:
    """SIGSTOP of a worker for longer than its lease"""
    worker = chance.choice(world.workers)
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(world.load.waits["LEASE"] + 0.7)
    worker.signal(signal.SIGCONT)


@fault()
async def kill_engine(world: World, chance: random.Random) -> None:
    """kill -9 of the engine, which is started again"""
    await asyncio.to_thread(world.engine.kill)


@fault()
async def freeze_engine(world: World, chance: random.Random) -> None:
    """SIGSTOP of the engine for less than nodes wait"""
    world.engine.freeze()
    await asyncio.sleep(0.4)
    world.engine.thaw()


@fault()
async def freeze_engine_for_long(world: World, chance: random.Random) -> None:
    """SIGSTOP of the engine until nodes give their links up"""
    world.engine.freeze()
    await asyncio.sleep(world.load.waits["ANSWER"] + 1.0)
    world.engine.thaw()


@fault(("nats", "redis"), keeps=False)
async def lose_engine(world: World, chance: random.Random) -> None:
    """kill -9 of the engine, and its data is lost"""
    assert isinstance(world.engine, NatsEngine | RedisEngine)
    await asyncio.to_thread(world.engine.lose)


@fault(("nats", "redis"), proxied=True, keeps=False)
async def fall_back(world: World, chance: random.Random) -> None:
    """failover to a replica that is behind"""
    assert isinstance(world.engine, NatsEngine | RedisEngine)
    await asyncio.to_thread(world.engine.save)
    await world.well()
    await asyncio.sleep(chance.random() * 0.2)
    await asyncio.to_thread(world.engine.fall_back)


@fault(("nats",), keeps=False)
async def delete_stream(world: World, chance: random.Random) -> None:
    """somebody deletes the stream"""
    assert isinstance(world.engine, NatsEngine)
    await world.engine.delete()


@fault(("redis",), keeps=False)
async def flush(world: World, chance: random.Random) -> None:
    """FLUSHALL"""
    assert isinstance(world.engine, RedisEngine)
    await world.engine.flush()


@fault(("redis",))
async def kick(world: World, chance: random.Random) -> None:
    """CLIENT KILL TYPE pubsub"""
    assert isinstance(world.engine, RedisEngine)
    await world.engine.kick()


@fault(("redis",))
async def sleep(world: World, chance: random.Random) -> None:
    """DEBUG SLEEP for less than nodes wait"""
    assert isinstance(world.engine, RedisEngine)
    await world.engine.sleep(0.4)


@fault(proxied=True)
async def cut(world: World, chance: random.Random) -> None:
    """a link breaks"""
    chance.choice(world.engine.proxies).sever()


@fault(proxied=True)
async def cut_all(world: World, chance: random.Random) -> None:
    """all links break at once"""
    for proxy in world.engine.proxies:
        proxy.sever()


@fault(proxied=True)
async def deaf(world: World, chance: random.Random) -> None:
    """a link is up and delivers nothing, until the node gives it up"""
    await _until_noticed(world, chance, "deaf")


@fault(proxied=True)
async def mute(world: World, chance: random.Random) -> None:
    """a link is up and nothing gets to the engine, until the node gives it up"""
    await _until_noticed(world, chance, "mute")


async def _until_noticed(world: World, chance: random.Random, how: str) -> None:
    number = chance.randrange(len(world.workers))
    worker, proxy = world.workers[number], world.engine.proxies[number]
    links = (await worker.tell())["broker"]["links"]
    setattr(proxy, how, True)

    def noticed(state: dict[str, Any]) -> bool:
        return not state["broker"]["up"] or state["broker"]["links"] > links

    async with asyncio.timeout(PATIENCE):
        while not noticed(await worker.tell()):
            await asyncio.sleep(0.05)
    proxy.repair()


@fault(proxied=True)
async def lose_messages(world: World, chance: random.Random) -> None:
    """whole messages are lost between the engine and a node"""
    proxy = chance.choice(world.engine.proxies)
    proxy.lose = chance.choice([1, 1, 1, 2, 5])
    await world.until(lambda: not proxy.lose, "messages were lost")


@fault(proxied=True)
async def repeat_messages(world: World, chance: random.Random) -> None:
    """whole messages are repeated between the engine and a node"""
    proxy: Proxy = chance.choice(world.engine.proxies)
    proxy.repeat = chance.choice([1, 1, 1, 2, 5])
    await world.until(lambda: not proxy.repeat, "messages were repeated")
