"""Coroutines that are begun at once."""

from __future__ import annotations

import asyncio

import pytest

from hubbub.realtime.eager import begun, in_task


async def test_what_waits_for_nothing_is_done_at_once() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert begun(work()) is None
    assert done == [1]


async def test_what_waits_goes_on_in_the_task_that_awaits_the_rest() -> None:
    done: list[str] = []

    async def work() -> None:
        for word in ("a", "b"):
            await asyncio.sleep(0.001)
            done.append(word)

    rest = begun(work())
    assert rest is not None
    assert done == []
    await rest
    assert done == ["a", "b"]


async def test_what_goes_wrong_reaches_whoever_awaits_it() -> None:
    async def now() -> None:
        raise KeyError("now")

    async def later() -> None:
        await asyncio.sleep(0)
        raise KeyError("later")

    with pytest.raises(KeyError, match="now"):
        begun(now())
    rest = begun(later())
    assert rest is not None
    with pytest.raises(KeyError, match="later"):
        await rest


async def test_a_cancelled_wait_is_cancelled_inside() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    rest = begun(work())
    assert rest is not None

    async def wait() -> None:
        await rest

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


def test_what_needs_a_task_is_run_in_one() -> None:
    tasks: list[object] = []

    async def work() -> None:
        await in_task()
        async with asyncio.timeout(1):
            tasks.append(asyncio.current_task())

    async def wait(rest: object) -> None:
        await rest  # type: ignore[misc]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def outside() -> None:  # of any task, as a protocol is called
            rest = begun(work())
            loop.create_task(wait(rest)).add_done_callback(lambda task: done.set_result(task))

        loop.call_soon(outside)
        task = await done
        assert task.exception() is None
        assert tasks == [task]

    asyncio.run(main())
