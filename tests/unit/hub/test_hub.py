"""The hub by itself: order, mailboxes, limits, statistics, over sinks in memory that can be blocked."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import pickle
import threading
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import hubbub
from hubbub import Hub, LimitReached, Limits, Misuse, Overloaded
from support.outlets import MemorySocket, NewSocket, turns
from support.serving import until


async def test_everything_of_one_turn_leaves_in_one_send(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    for number in range(5):
        hub.broadcast("room", str(number))
    await until(lambda: user.texts == ["0", "1", "2", "3", "4"])
    statistics = hub.statistics()
    assert (statistics.deliveries, statistics.sends, statistics.coalescing_ratio) == (5, 1, 5.0)


async def test_a_write_does_not_overtake_a_broadcast_of_the_same_thread(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    user.outlet.write(hubbub.text("1"))
    hub.broadcast("room", "2")
    user.outlet.write(hubbub.text("3"))
    hub.broadcast("room", "4")
    assert user.texts == ["1", "2", "3"]
    await until(lambda: user.texts == ["1", "2", "3", "4"])


async def test_nor_does_it_from_a_plain_thread(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)

    def work() -> None:
        for number in range(0, 300, 3):
            hub.broadcast("room", str(number))
            user.outlet.write(hubbub.text(str(number + 1)))
            hub.broadcast("room", str(number + 2))

    await asyncio.to_thread(work)
    await until(lambda: len(user.texts) == 300)
    assert user.texts == [str(number) for number in range(300)]


async def test_a_leaver_gets_what_was_broadcast_before_and_nothing_after(new_socket: NewSocket) -> None:
    hub, user, other = Hub(), new_socket(), new_socket()
    hub.join("room", user)
    hub.join("room", other)
    hub.broadcast("room", "before")
    hub.leave("room", user)
    hub.broadcast("room", "after")
    await until(lambda: other.texts == ["before", "after"])
    assert user.texts == ["before"]


async def test_a_newcomer_gets_nothing_that_was_broadcast_before(new_socket: NewSocket) -> None:
    hub, user, newcomer = Hub(), new_socket(), new_socket()
    hub.join("room", user)
    hub.broadcast("room", "before")
    hub.join("room", newcomer)
    hub.broadcast("room", "after")
    await until(lambda: user.texts == ["before", "after"])
    assert newcomer.texts == ["after"]


async def test_a_close_frame_follows_what_was_broadcast_before(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    hub.broadcast("room", "bye")
    assert user.outlet.finish(b"\x81\x03end")
    assert user.texts == ["bye", "end"]
    assert not user.outlet.finish(b"\x81\x03end")
    assert not user.outlet.write(hubbub.text("late"))


async def test_churn_during_a_broadcast_in_slices_loses_and_doubles_nothing() -> None:
    """Members leave and join between the slices of a batch: who was a member at the broadcast gets it once."""
    hub = Hub(writers=1, max_writers=1)
    users = [MemorySocket() for _ in range(1000)]
    for user in users:
        hub.join("room", user)
    hub.broadcast("room", "one")
    await asyncio.sleep(0)  # the first slice is out
    leavers, newcomers = users[::3], [MemorySocket() for _ in range(200)]
    for user in leavers:
        hub.leave("room", user)
    for user in newcomers:
        hub.join("room", user)
    hub.broadcast("room", "two")
    await until(lambda: hub.statistics().waiting == 0)
    stayers = set(users) - set(leavers)
    assert all(user.texts == ["one"] for user in leavers)
    assert all(user.texts == ["one", "two"] for user in stayers)
    assert all(user.texts == ["two"] for user in newcomers)


async def test_a_huge_channel_does_not_hold_up_the_others_or_the_loop() -> None:
    hub = Hub(writers=1, max_writers=2)
    for _ in range(3000):
        hub.join("huge", MemorySocket())
    friend = MemorySocket()
    hub.join("small", friend)
    hub.broadcast("huge", "x")
    hub.broadcast("small", "y")
    await turns(5)
    assert friend.texts == ["y"]
    assert hub.statistics().waiting > 0


@pytest.mark.parametrize("form", [None, 15, 9])
async def test_members_get_the_form_that_they_negotiated(form: int | None, new_socket: NewSocket) -> None:
    hub, plain, user = Hub(), new_socket(), new_socket(form=form)
    message = hubbub.text("a message that repeats itself " * 20)
    for socket in (plain, user):
        hub.join("room", socket)
    hub.broadcast("room", message)
    await until(lambda: user.taken and plain.taken)
    assert plain.taken == message._wire
    assert user.taken == message._encoded(form)
    assert (len(user.taken) < len(plain.taken)) is (form is not None)


@pytest.mark.limit("max_mailbox")
async def test_a_full_mailbox_raises_at_once_on_the_loop(new_socket: NewSocket) -> None:
    hub, user = Hub(limits=Limits(max_mailbox=3)), new_socket()
    hub.join("room", user)
    for number in range(3):
        hub.broadcast("room", str(number))
    with pytest.raises(Overloaded, match=r"max_mailbox|3 messages"):
        hub.broadcast("room", "too many", timeout=60)
    assert hub.statistics().drops == {"overloaded": 1}
    await until(lambda: len(user.texts) == 3)
    assert hub.broadcast("room", "again") == 1


@pytest.mark.limit("max_mailbox_size")
async def test_a_mailbox_is_bounded_in_bytes_but_takes_one_message_of_any_size(new_socket: NewSocket) -> None:
    hub, user = Hub(limits=Limits(max_mailbox_size=100)), new_socket()
    hub.join("room", user)
    assert hub.broadcast("room", "x" * 500) == 1
    with pytest.raises(Overloaded):
        hub.broadcast("room", "y")


async def test_a_plain_thread_waits_for_room(new_socket: NewSocket) -> None:
    hub, user = Hub(limits=Limits(max_mailbox=2)), new_socket()
    hub.join("room", user)
    handed = await asyncio.to_thread(lambda: [hub.broadcast("room", str(number)) for number in range(100)])
    assert handed == [1] * 100
    await until(lambda: len(user.texts) == 100)


async def test_a_plain_thread_is_told_when_there_is_no_room_in_time() -> None:
    hub, user = Hub(limits=Limits(max_mailbox=1)), MemorySocket()
    hub.join("room", user)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            hub.broadcast("room", "1")
            hub.broadcast("room", "2", timeout=0.05)
        except Overloaded as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()  # blocks the loop, so nothing can leave the mailbox
    assert len(failed) == 1
    assert "0.05 s" in str(failed[0])


@pytest.mark.limit("max_channels")
async def test_channels_are_counted(new_socket: NewSocket) -> None:
    hub, user = Hub(limits=Limits(max_channels=2)), new_socket()
    hub.join("a", user)
    hub.join("b", user)
    with pytest.raises(LimitReached, match="max_channels"):
        hub.join("c", user)
    assert hub.channels_of(user) == ["a", "b"]
    hub.leave("a", user)
    assert hub.join("c", user)


@pytest.mark.limit("max_channels_per_socket")
async def test_channels_of_one_socket_are_counted(new_socket: NewSocket) -> None:
    hub, user, other = Hub(limits=Limits(max_channels_per_socket=1)), new_socket(), new_socket()
    assert hub.join("a", user)
    assert not hub.join("a", user)
    with pytest.raises(LimitReached, match="max_channels_per_socket"):
        hub.join("b", user)
    assert hub.join("b", other)


@pytest.mark.limit("max_channel_name")
@pytest.mark.parametrize("name", ["x" * 11, "é" * 6, b"x" * 11, ("abc", ("defgh", b"ijk")), "\ud800" * 4])
async def test_names_of_channels_are_bounded(new_socket: NewSocket, name: Any) -> None:
    hub, user = Hub(limits=Limits(max_channel_name=10)), new_socket()
    with pytest.raises(LimitReached, match="max_channel_name") as caught:
        hub.join(name, user)
    assert len(str(caught.value)) < 200
    assert hub.statistics().channels == 0
    for fine in ("x" * 10, "é" * 5, b"x" * 10, ("abc", 10**100), 10**100, None):
        assert hub.join(fine, user)


async def test_equal_names_are_one_channel_as_they_are_one_key(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    assert hub.join(1, user)
    assert not hub.join(True, user)
    assert not hub.join(1.0, user)
    assert hub.join("1", user)
    assert hub.join(b"1", user)
    assert (hub.count(True), hub.channels_of(user)) == (1, [1, "1", b"1"])


async def test_errors_quote_no_name_whole(new_socket: NewSocket) -> None:
    limits = Limits(max_mailbox=1, max_channel_name=1 << 20)
    hub, user, name = Hub(limits=limits), new_socket(), "n" * 100_000
    user.block()
    hub.join(name, user)
    hub.broadcast(name, "x")
    with pytest.raises(Overloaded) as caught:
        hub.broadcast(name, "x" * 100)
    assert len(str(caught.value)) < 300
    with pytest.raises(Misuse) as misused:
        Hub(shards=lambda channel: 0, limits=limits).join(name, user)
    assert len(str(misused.value)) < 300


class Bytes(bytes):
    """Like bson.Binary."""


class Text(str):
    """Like markupsafe.Markup."""

    def encode(self, *arguments: Any) -> Any:
        raise AssertionError("a message is what the text is")


async def test_kinds_of_text_and_bytes_are_messages(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    hub.broadcast("room", Text("one"))
    user.outlet.write(hubbub.text(Text("two")))
    user.outlet.write(hubbub.text(Bytes(b"three")))
    await until(lambda: user.texts == ["one", "two", "three"])
    assert hubbub.binary(Bytes(b"x")).payload == b"x"
    assert type(hubbub.binary(Bytes(b"x")).payload) is bytes
    assert hub.broadcast("room", Bytes(b"x")) == 1


async def test_a_snapshot_can_be_exported_and_not_changed(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    user.outlet.detach()
    user.outlet.write(hubbub.text("lost"))
    snapshot = hub.statistics()
    plain = json.loads(json.dumps(dataclasses.asdict(snapshot)))
    assert plain["drops"] == {"closed": 1}
    assert copy.deepcopy(snapshot) == pickle.loads(pickle.dumps(snapshot)) == snapshot
    for change in (lambda: snapshot.drops.update(closed=2), lambda: snapshot.drops.pop("closed")):  # type: ignore[attr-defined]
        with pytest.raises(TypeError, match="dict"):
            change()


async def test_a_channel_without_shards_of_its_own_is_sharded_as_it_grows(new_socket: NewSocket) -> None:
    hub, users = Hub(max_writers=3, writers=1), [new_socket() for _ in range(100)]
    hub.join("room", users[0])
    for pool in hub._pools():
        pool.shard_size = 10
    for user in users[1:]:
        hub.join("room", user)
    channel = hub._channels.find("room")
    assert [len(shard.members) for shard in channel.shards] in ([34, 33, 33], [33, 33, 34], [33, 34, 33])
    hub.broadcast("room", "x")
    await until(lambda: all(user.texts == ["x"] for user in users))


@pytest.mark.parametrize("shards", [0, -1, "2", None, 1.5])
async def test_a_wrong_number_of_shards_is_refused(shards: Any, new_socket: NewSocket) -> None:
    hub = Hub(shards=lambda channel: shards)
    with pytest.raises(Misuse, match="whole number from 1"):
        hub.join("room", new_socket())
    assert hub.statistics().channels == 0


async def test_the_sharding_function_may_use_the_hub(new_socket: NewSocket) -> None:
    hub = Hub(shards=lambda channel: 1 + hub.count(channel))
    assert hub.join("room", new_socket())


@pytest.mark.parametrize("pool", [(0, 1), (3, 2), (-1, 5)])
def test_a_pool_that_cannot_be_is_refused(pool: tuple[int, int]) -> None:
    with pytest.raises(Misuse, match="writers"):
        Hub(writers=pool[0], max_writers=pool[1])


async def test_only_sockets_can_join(new_socket: NewSocket) -> None:
    hub = Hub()
    with pytest.raises(TypeError, match=r"self\.socket"):
        hub.join("room", object())
    with pytest.raises(TypeError, match="unhashable"):
        hub.join([], new_socket())
    assert hub.statistics().channels == 0


async def test_a_broadcast_to_nobody_is_handed_to_nobody(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    assert hub.broadcast("room", "x") == 0
    hub.join("room", user)
    assert hub.broadcast("room", "x", exclude=user) == 0
    assert hub.statistics().broadcasts == 0


class Alike:
    """Ids of one hash."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike) and self.name == other.name


def encoded(message: str | bytes | hubbub.Frame) -> bytes:
    if isinstance(message, hubbub.Frame):
        return message._wire
    return (hubbub.text if isinstance(message, str) else hubbub.binary)(message)._wire


async def test_all_kinds_of_messages_reach_their_channel_alone_and_in_one_order(new_socket: NewSocket) -> None:
    """Short and long ones, plain ones and frames: what a hub does most has a shorter way than the rest."""
    hub, users = Hub(), {name: [new_socket() for _ in range(2)] for name in ("a", "b", "c")}
    for name, members in users.items():
        for user in members:
            hub.join(Alike(name), user)
    sent = dict.fromkeys(users, b"")
    for number in range(3):
        for name in users:
            said = f"{name}{number}"
            for message in (said, f"{said}ä€😀", said.encode(), said * 9000, hubbub.text(f"{said}.")):
                assert hub.broadcast(Alike(name), message) == 2
                sent[name] += encoded(message)
    assert hub.broadcast(Alike("d"), "x") == 0
    with pytest.raises(UnicodeEncodeError):
        hub.broadcast(Alike("a"), "\ud800")
    with pytest.raises(TypeError, match="unhashable"):
        hub.broadcast([], "x")
    await until(lambda: all(user.taken == sent[name] for name in users for user in users[name]))
    assert hub.statistics().broadcasts == 45


async def test_statistics_are_frozen_and_add_up(new_socket: NewSocket) -> None:
    hub, users = Hub(), [new_socket() for _ in range(3)]
    for user in users:
        hub.join("a", user)
    hub.join("b", users[0])
    hub.broadcast("a", "12345678")
    await until(lambda: all(user.texts for user in users))
    users[0].outlet.write(hubbub.text("12345678"))
    statistics = hub.statistics()
    assert (statistics.connections, statistics.channels, statistics.memberships) == (3, 2, 4)
    assert (statistics.broadcasts, statistics.deliveries, statistics.writes, statistics.bytes) == (1, 3, 1, 40)
    assert (statistics.backlog, statistics.waiting, statistics.drops) == (0, 0, {})
    assert statistics.writers_busy == 0
    with pytest.raises(FrozenInstanceError):
        statistics.broadcasts = 2  # type: ignore[misc]
    for user in users:
        user.outlet.detach()
    assert (hub.statistics().connections, hub.statistics().memberships) == (0, 0)


async def test_a_failing_writer_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub, user = Hub(), MemorySocket()
    hub.join("room", user)
    (pool,) = hub._writers.values()
    work, failures = pool._work, iter([MemoryError("none left"), MemoryError("none left")])

    def failing() -> None:
        for error in failures:
            raise error
        work()

    monkeypatch.setattr(pool, "_work", failing)
    hub.broadcast("room", "x")
    await until(lambda: user.texts == ["x"])
    assert hub.statistics().writer_failures == 2
    assert "starting it again in 0.01 s" in caplog.text
    assert "starting it again in 0.02 s" in caplog.text


async def test_a_socket_whose_transport_raises_costs_nobody_else() -> None:
    hub, users = Hub(), [MemorySocket() for _ in range(3)]
    for user in users:
        hub.join("room", user)

    def broken(data: bytes) -> None:
        raise OSError("gone")

    users[1].outlet.transmit = broken
    hub.broadcast("room", "x")
    await until(lambda: users[1].cuts == ["error"])
    assert [user.texts for user in users] == [["x"], [], ["x"]]


async def test_one_socket_may_serve_two_hubs(new_socket: NewSocket) -> None:
    one, two, user = Hub(), Hub(), new_socket()
    one.join("room", user)
    two.join("room", user)
    assert (one.leave_all(user), two.count("room")) == (1, 1)
    two.broadcast("room", "x")
    await until(lambda: user.texts == ["x"])
    user.outlet.detach()
    assert (one.statistics().connections, two.statistics().connections, two.count("room")) == (0, 0, 0)


async def test_the_pool_grows_while_shards_wait_and_shrinks_after() -> None:
    hub = Hub(writers=1, max_writers=4)
    for number in range(6):
        for _ in range(400):
            hub.join(number, MemorySocket())
    for number in range(6):
        hub.broadcast(number, "x")
    sizes = set()
    while hub.statistics().waiting:
        await asyncio.sleep(0)
        statistics = hub.statistics()
        sizes.add(statistics.writers_busy + statistics.writers_idle)
    assert max(sizes) == 4
    hub.join("small", MemorySocket())
    for _ in range(10):
        hub.broadcast("small", "x")
        await until(lambda: hub.statistics().waiting == 0)
    assert hub.statistics().writers_idle + hub.statistics().writers_busy == 1


async def test_a_socket_that_is_closed_while_it_joins_is_no_member(new_socket: NewSocket) -> None:
    class Closing:
        """A channel whose hash is asked for after the socket was seen open, as another thread's close may come then."""

        def __hash__(self) -> int:
            if user.outlet.open:
                user.outlet.detach()
            return 1

    hub = Hub()
    user = new_socket()
    channel = Closing()
    hub.join(channel, user)
    assert (hub.count(channel), hub.statistics().connections, hub.statistics().memberships) == (0, 0, 0)
