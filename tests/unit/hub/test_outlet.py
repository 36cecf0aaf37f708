"""One socket's way out, over a sink in memory that blocks on demand."""

from __future__ import annotations

import asyncio

import pytest

import hubbub
from hubbub import Hub, Limits
from hubbub.hub.outlet import total_backlog
from hubbub.hub.statistics import fanout
from support.outlets import LocalSocket, MemorySocket, NewSocket, PairSocket, turns
from support.serving import until

TEXT = hubbub.text("12345678")  # ten bytes as a frame


def blocked(new_socket: NewSocket, limit: int, overflow: str) -> tuple[Hub, LocalSocket]:
    """A member for whom ten bytes wait already, of `limit` that it may have waiting."""
    hub = Hub(overflow=overflow)
    user = new_socket(Limits(max_backlog=limit))
    hub.join("room", user)
    user.block()
    user.outlet.write(TEXT)
    return hub, user


async def test_frames_wait_while_the_transport_is_full_and_leave_in_order(new_socket: NewSocket) -> None:
    user = new_socket()
    user.block()
    for number in range(5):
        assert user.outlet.write(hubbub.text(str(number)))
    assert user.texts == []
    assert user.outlet.buffered == 15
    assert user.outlet.clogged
    await user.unblock()
    assert user.texts == ["0", "1", "2", "3", "4"]
    assert (user.outlet.buffered, user.outlet.clogged, total_backlog()) == (0, False, 0)


@pytest.mark.limit("max_backlog")
async def test_disconnect_cuts_a_socket_past_its_limit_and_counts_what_is_lost(new_socket: NewSocket) -> None:
    hub, user = blocked(new_socket, 30, "disconnect")
    assert user.outlet.write(TEXT)
    assert user.outlet.write(TEXT)
    assert not user.outlet.write(TEXT)
    assert not user.outlet.open
    await turns()
    assert user.cuts == ["overflow"]
    uncounted = isinstance(user, MemorySocket)  # a transport does not tell what it still holds
    assert hub.statistics().drops == {"overflow": 4 - uncounted}
    user.outlet.detach()
    assert total_backlog() == 0


async def test_drop_newest_refuses_what_does_not_fit(new_socket: NewSocket) -> None:
    hub, user = blocked(new_socket, 30, "drop-newest")
    assert [user.outlet.write(hubbub.text(f"{number:08}")) for number in range(4)] == [True, True, False, False]
    await until(lambda: user.drops)
    await user.unblock()
    assert user.texts == ["12345678", "00000000", "00000001"]
    assert user.drops == [2]
    assert hub.statistics().drops == {"overflow": 2}


async def test_drop_rest_lets_nothing_of_a_channel_come_behind_a_gap(new_socket: NewSocket) -> None:
    """Whatever room there is meanwhile: until the program knows. What is written to the socket itself is not meant."""
    hub, user = blocked(new_socket, 30, "drop-rest")
    hub.broadcast("room", "00000000")
    hub.broadcast("room", "0000000000000001")
    await until(lambda: hub.statistics().drops)
    hub.broadcast("room", "2")
    await user.unblock()
    hub.broadcast("room", "3")
    assert user.outlet.write(hubbub.text("direct"))
    await until(lambda: sum(user.drops) == 3)
    assert user.texts == ["12345678", "00000000", "direct"]
    user.outlet.go_on()
    hub.broadcast("room", "4")
    await until(lambda: user.texts[-1] == "4")
    assert hub.statistics().drops == {"overflow": 3}


async def test_drop_oldest_keeps_the_newest_that_fit(new_socket: NewSocket) -> None:
    _, user = blocked(new_socket, 30, "drop-oldest")
    assert all(user.outlet.write(hubbub.text(f"{number:08}")) for number in range(5))
    await until(lambda: user.drops)
    await user.unblock()
    assert user.texts[-2:] == ["00000003", "00000004"]
    assert sum(user.drops) == 6 - len(user.texts)


async def test_latest_keeps_one_message_of_each_channel(new_socket: NewSocket) -> None:
    hub, user = blocked(new_socket, 40, "latest")
    hub.join("other", user)
    for number in range(6):
        hub.broadcast("room", f"r{number:07}")
        hub.broadcast("other", f"o{number:07}")
        await until(lambda: hub.statistics().waiting == 0)
    await user.unblock()
    assert user.texts[-2:] == ["r0000005", "o0000005"]
    assert len(user.texts) <= 4
    await until(lambda: sum(user.drops) == 13 - len(user.texts))


async def test_a_slow_member_holds_up_nobody(new_socket: NewSocket) -> None:
    hub, user = blocked(new_socket, 1000, "disconnect")
    other = new_socket()
    hub.join("room", other)
    for number in range(10):
        hub.broadcast("room", str(number))
        await until(lambda: hub.statistics().waiting == 0)
    assert other.texts == [str(number) for number in range(10)]
    await user.unblock()
    assert user.texts == ["12345678", *other.texts]


async def test_writes_of_another_thread_leave_on_the_loop_whole_and_in_order(new_socket: NewSocket) -> None:
    user = new_socket()
    sent = await asyncio.to_thread(lambda: [user.outlet.write(hubbub.text(str(number))) for number in range(500)])
    assert all(sent)
    await until(lambda: len(user.texts) == 500)
    assert user.texts == [str(number) for number in range(500)]


async def test_a_write_on_the_loop_does_not_overtake_an_earlier_one_of_another_thread(
    new_socket: NewSocket,
) -> None:
    user = new_socket()
    await asyncio.to_thread(user.outlet.write, hubbub.text("first"))
    user.outlet.write(hubbub.text("second"))
    await until(lambda: user.texts == ["first", "second"])


async def test_only_the_answer_to_the_latest_ping_waits(new_socket: NewSocket) -> None:
    user = new_socket()
    user.block()
    user.outlet.write(TEXT)
    for number in range(1000):
        user.outlet.control(b"\x8a\x04%04d" % number)
        user.outlet.control(b"\x89\x00")  # nor do pings of the program's own pile up
    assert user.outlet.buffered == 18
    await user.unblock()
    assert user.taken.endswith(b"\x8a\x040999\x89\x00")


async def test_the_owner_is_told_when_the_last_frame_has_left(new_socket: NewSocket) -> None:
    user = new_socket()
    user.block()
    user.outlet.write(TEXT)
    user.outlet.write(TEXT)
    assert user.outlet.finish(b"\x88\x02\x03\xe8")
    await turns()
    assert user.flushes == 0
    await user.unblock()
    await until(lambda: user.flushes == 1)
    assert user.taken.endswith(b"\x88\x02\x03\xe8")


async def test_a_detached_outlet_writes_nothing_and_says_so(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    user.block()
    user.outlet.write(TEXT)
    user.outlet.write(TEXT)
    user.outlet.detach()
    assert not user.outlet.write(TEXT)
    assert not user.outlet.control(b"\x89\x00")
    uncounted = isinstance(user, MemorySocket)  # a transport does not tell what it still held
    assert hub.statistics().drops == {"closed": 3 - uncounted}
    if not uncounted:
        await user.unblock()
    assert user.taken == b""


async def test_whoever_ends_an_outlet_first_says_why(new_socket: NewSocket) -> None:
    user = new_socket()
    assert user.outlet.ending is None
    assert user.outlet.finish(b"first", "one")
    assert not user.outlet.finish(b"second", "another")
    assert user.outlet.ending == "one"
    user.outlet.detach()
    assert user.outlet.ending == "one"


async def test_a_cut_is_an_end_that_no_later_one_replaces(new_socket: NewSocket) -> None:
    _, user = blocked(new_socket, 15, "disconnect")
    user.outlet.write(TEXT)
    assert not user.outlet.write(TEXT)
    assert not user.outlet.finish(b"bye", "another")
    assert user.outlet.ending == "overflow"
    user.outlet.detach()


@pytest.mark.parametrize("end", ["detach", "finish"])
async def test_an_end_ends_every_wait(new_socket: NewSocket, end: str) -> None:
    _, user = blocked(new_socket, 100, "disconnect")
    assert user.outlet.tell_when_drained()
    if end == "detach":
        user.outlet.detach()
        assert (user.outlet.buffered, user.outlet.clogged) == (0, False)
    else:
        user.outlet.finish(b"bye")
    assert not user.outlet.tell_when_drained()
    await until(lambda: user.drained_times == 1)


@pytest.mark.limit("max_total_backlog")
async def test_a_large_message_is_refused_whole_before_it_begins(new_socket: NewSocket) -> None:
    user = new_socket(Limits(max_backlog=1000, max_total_backlog=100_000))
    user.outlet.overflow = "drop-newest"
    assert not user.outlet.write(hubbub.text("x" * 80_000))  # more than would stay free beside it
    assert user.outlet.write(TEXT)
    await turns()
    assert user.texts == ["12345678"]
    assert user.outlet.open


@pytest.mark.limit("max_total_backlog")
@pytest.mark.skipif(fanout is None, reason="there is one kind")
async def test_outlets_of_both_kinds_share_one_total() -> None:
    limits, before = Limits(max_backlog=200_000, max_total_backlog=200_000), total_backlog()
    users: list[LocalSocket] = [kind(limits) for kind in (MemorySocket, PairSocket) for _ in range(5)]
    for user in users:
        user.outlet.overflow = "drop-newest"
        user.block()
    for _ in range(100):
        for user in users:
            user.outlet.write(hubbub.binary(bytes(3000)))
            assert total_backlog() <= 200_000
    assert total_backlog() - before == sum(user.outlet.buffered for user in users)
    assert all(user.outlet.buffered > 10_000 for user in users)
    for user in users:
        user.outlet.detach()
    assert total_backlog() == before


@pytest.mark.limit("max_total_backlog")
async def test_a_large_broadcast_begins_only_where_it_might_wait(new_socket: NewSocket) -> None:
    limits, before = Limits(max_backlog=300_000, max_total_backlog=300_000), total_backlog()
    hub = Hub(overflow="drop-newest")
    users = [new_socket(limits) for _ in range(10)]
    for user in users:
        hub.join("room", user)
        user.block()
    hub.broadcast("room", bytes(80_000))
    await until(lambda: hub.statistics().waiting == 0)
    assert 80_000 < total_backlog() <= 300_000
    assert hub.statistics().drops["budget"] >= 7
    assert all(user.outlet.open for user in users)
    for user in users:
        user.outlet.detach()
    assert total_backlog() == before


@pytest.mark.limit("max_total_backlog")
async def test_what_a_flush_moves_to_the_transport_stays_counted() -> None:
    user, before = MemorySocket(), total_backlog()
    user.block()
    for _ in range(10):
        user.outlet.write(hubbub.binary(bytes(30_000)))
    held, user.sink.held = user.sink.held, b""  # the kernel takes what the transport holds, and no more
    user.outlet.resume()
    assert total_backlog() - before == 9 * len(held) == user.outlet.buffered
    user.outlet.detach()
    assert total_backlog() == before


@pytest.mark.limit("backlog_timeout")
@pytest.mark.skipif(fanout is None, reason="a transport's stalls are the sweep's")
async def test_however_many_stall_together_are_cut_together() -> None:
    users = [PairSocket(Limits(backlog_timeout=0.3, max_total_backlog=1 << 30)) for _ in range(300)]
    for user in users:
        user.outlet.write(hubbub.binary(bytes(1 << 19)))
    clock = asyncio.get_running_loop().time
    await until(lambda: any(user.cuts for user in users))
    first = clock()
    await until(lambda: all(user.cuts for user in users))
    assert clock() - first < 0.7
    assert {cause for user in users for cause in user.cuts} == {"stalled"}
    for user in users:
        user.close()


@pytest.mark.limit("backlog_timeout")
@pytest.mark.skipif(fanout is None, reason="a transport's stalls are the sweep's")
async def test_who_reads_less_than_the_kernel_waits_for_is_slow_and_does_not_stall() -> None:
    user = PairSocket(Limits(backlog_timeout=0.4))
    assert user.outlet.write(hubbub.binary(bytes(1 << 20)))
    for _ in range(20):  # 8 KiB at a time: the kernel takes more only when most of its buffer is free
        await asyncio.sleep(0.05)
        user._peers.recv(8192)
    assert user.cuts == []
    await until(lambda: user.cuts)
    assert user.cuts == ["stalled"]


@pytest.mark.limit("backlog_timeout")
@pytest.mark.skipif(fanout is None, reason="a transport's stalls are the sweep's")
async def test_who_stalls_is_cut_in_time() -> None:
    user = PairSocket(Limits(backlog_timeout=0.6))
    clock = asyncio.get_running_loop().time
    began = clock()
    user.outlet.write(hubbub.binary(bytes(1 << 20)))
    await until(lambda: user.cuts)
    assert 0.5 < clock() - began < 1.15
