"""The mailbox's protocol in every interleaving: a step is what shard.c and writers.c do from one lock to the next.

A world is one shard, its members, and threads that each have steps to go. `explore` walks through all worlds that can
come about, and `World` raises where a promise is broken: two at the array at once, a message twice, late, or out of
order, a write that overtakes. `explore` raises where nobody has a step left and a message waits: a wake-up was lost.
Steps are named after the C functions; `mistakes` leaves out one of their cares, to see that the model notices.
"""

from __future__ import annotations

from collections.abc import Iterable

IDLE, POSTED, QUEUED, RUNNING = "idle", "posted", "queued", "running"
GONE = 99
SLICE, LEAST, MOST = 1, 1, 2  # as small as can be, and so is everything here: few things go wrong with many
Step = tuple[str, int]
POST, POST_DEFERRED, CLOSE_LOOP = ("post", 0), ("post", 1), ("close_loop", 0)


def write(member: int) -> Step:
    return "catch_up_and_write", member


def join(member: int) -> Step:
    return "join", member


def leave(member: int) -> Step:
    return "leave", member


class World:
    """A shard whose members are 0 to `present` - 1, and one more may join; the caller writes for so many as `small`."""

    def __init__(self, threads: list[tuple[Step, ...]], present: int, small: int, mistakes: frozenset[str]) -> None:
        self.mistakes, self.small = mistakes, small
        self.state, self.start, self.end = IDLE, 0, 0
        self.batch_end, self.position, self.runner = 0, 0, -1
        self.array = list(range(present))
        self.changes: list[int] = []
        self.wanted = [True] * present + [False]
        self.cursors = [0] * present + [GONE]
        self.due = [()] * (present + 1)  # what each is yet to be given
        self.mine = [()] * len(threads) + [()] * MOST  # what each thread has posted
        self.threads = [*threads, *[()] * MOST]
        self.queued = self.size = self.idle = self.woken = 0
        self.first_writer = len(threads)

    def key(self) -> tuple[object, ...]:
        return tuple(tuple(part) if isinstance(part, list) else part for part in self.__dict__.values())

    def copy(self) -> World:
        other = World.__new__(World)
        other.__dict__ = {name: part[:] if isinstance(part, list) else part for name, part in self.__dict__.items()}
        return other

    def steps(self) -> Iterable[World]:
        for thread, todo in enumerate(self.threads):
            if todo:
                world = self.copy()
                world.threads[thread] = todo[1:]
                getattr(world, todo[0][0])(thread, todo[0][1])
                yield world

    def resting(self) -> bool:
        return all(not todo or todo[0][0] == "sleep" for todo in self.threads)

    def then(self, thread: int, *steps: Step) -> None:
        self.threads[thread] = steps + self.threads[thread]

    # shard.c

    def post(self, thread: int, deferred: int) -> None:
        self.mine[thread] += (self.end,)
        self.due = [(*due, self.end) if self.cursors[m] != GONE else due for m, due in enumerate(self.due)]
        self.end += 1
        if self.state == IDLE or (self.state == POSTED and not deferred and "rescue" not in self.mistakes):
            self.state = POSTED if deferred else QUEUED
            if deferred:
                self.threads[thread] += (("hand_over", 0),)  # at the end of its turn
            else:
                self.then(thread, ("queue", 0))

    def deliver(self, member: int, end: int) -> None:
        """Give a member what is due before `end`."""
        given = tuple(range(self.cursors[member], end))
        assert given == self.due[member][: len(given)], f"member {member} got {given} where {self.due[member]} was due"
        self.due[member] = self.due[member][len(given) :]
        self.cursors[member] = end

    def catch_up_and_write(self, thread: int, member: int) -> None:
        if self.cursors[member] < self.end and "catch up" not in self.mistakes:
            self.deliver(member, self.end)
        assert not set(self.mine[thread]) & set(self.due[member]), "a write overtook a broadcast of its thread"

    def change(self, member: int) -> None:
        if member in self.changes:
            return
        if self.state != RUNNING or "changes" in self.mistakes:
            self.settle(member)
        else:
            self.changes.append(member)

    def settle(self, member: int) -> None:
        assert self.runner < 0, "the array is changed while somebody runs over it"
        if self.wanted[member] and member not in self.array:
            self.array.append(member)
        elif not self.wanted[member] and member in self.array:
            index, last = self.array.index(member), self.array.pop()
            if last != member:
                self.array[index] = last
            self.position = min(self.position, len(self.array))

    def join(self, thread: int, member: int) -> None:
        self.wanted[member], self.cursors[member] = True, self.end
        self.change(member)

    def leave(self, thread: int, member: int) -> None:
        if self.cursors[member] < self.end:
            self.deliver(member, self.end)
        assert not self.due[member], "it left before it was given everything"
        self.cursors[member] = GONE
        self.then(thread, ("leave_the_shard", member))

    def leave_the_shard(self, thread: int, member: int) -> None:
        self.wanted[member] = False
        self.change(member)

    def claim(self, thread: int, _: int) -> None:
        assert self.state == QUEUED, "somebody else took what was in the queue"
        self.state = RUNNING
        self.then(thread, ("run", 0))

    def run(self, thread: int, _: int) -> None:
        for member in self.changes:
            self.settle(member)
        self.changes = []
        if self.batch_end == self.start:
            self.batch_end, self.position = self.end, len(self.array)
        assert self.runner < 0, "two run at once"
        self.runner = thread
        self.then(thread, *[("serve", 0)] * SLICE, ("run_ends", 0))

    def serve(self, thread: int, _: int) -> None:
        if self.position > 0:
            self.position -= 1
            member = self.array[self.position]
            if self.cursors[member] < self.batch_end:
                self.deliver(member, self.batch_end)

    def run_ends(self, thread: int, _: int) -> None:
        self.runner = -1
        for member in self.changes:
            self.settle(member)
        self.changes = []
        if self.position == 0:
            self.start = self.batch_end
        more = self.start < self.end if "look again" not in self.mistakes else self.start < self.batch_end
        self.state = QUEUED if more else IDLE
        if more:
            self.then(thread, ("put_last" if thread >= self.first_writer else "queue", 0))

    # An event loop that ends before its turn does

    def close_loop(self, thread: int, _: int) -> None:
        self.threads[thread] = tuple(step for step in self.threads[thread] if step[0] != "hand_over")

    # writers.c

    def hand_over(self, thread: int, _: int) -> None:
        if self.state != POSTED:
            return
        self.state = RUNNING
        self.then(thread, ("run", 0) if len(self.array) <= self.small else ("hand_on", 0))

    def hand_on(self, thread: int, _: int) -> None:
        self.state = QUEUED
        self.then(thread, ("queue", 0))

    def put_last(self, thread: int, _: int) -> None:
        self.queued += 1
        assert self.queued == 1, "the shard is in the queue twice"

    def queue(self, thread: int, _: int) -> None:
        self.put_last(thread, 0)
        if self.idle > self.woken:
            self.woken += 1
            sleeper = next((t for t, todo in enumerate(self.threads) if todo[:1] == (("sleep", 0),)), None)
            if sleeper is not None and "signal" not in self.mistakes:  # None: it was woken, and has not looked yet
                self.threads[sleeper] = (("wake", 0),)
        elif self.size < MOST:
            self.size += 1
            free = next(t for t in range(self.first_writer, len(self.threads)) if not self.threads[t])
            self.threads[free] = (("wait_for_mail", 0),)

    def wait_for_mail(self, thread: int, _: int) -> None:
        if self.queued:
            self.queued -= 1
            self.then(thread, ("claim", 0), ("wait_for_mail", 0))
        else:
            self.idle += 1
            self.then(thread, ("sleep", 0))

    def sleep(self, thread: int, _: int) -> None:
        """It wakes by itself after some seconds. Nothing may have to wait for that."""
        self.wake(thread, 1)

    def wake(self, thread: int, late: int) -> None:
        self.idle -= 1
        self.woken = max(self.woken - 1, 0)
        if late and not self.queued and self.size > LEAST:
            self.size -= 1
        else:
            self.then(thread, ("wait_for_mail", 0))


def explore(
    *threads: tuple[Step, ...], present: int = 2, small: int = 1, mistakes: frozenset[str] = frozenset()
) -> int:
    """Walk through every world that can come about. Returns how many; raises AssertionError in a wrong one."""
    first = World(list(threads), present, small, mistakes)
    seen, ahead = {first.key()}, [first]
    while ahead:
        world = ahead.pop()
        if world.resting():
            assert world.start == world.end, "messages wait, and nobody comes: a wake-up was lost"
            assert not any(world.due), "somebody was not given everything"
            assert world.state == IDLE
        for after in world.steps():
            if (key := after.key()) not in seen:
                seen.add(key)
                ahead.append(after)
    return len(seen)


if __name__ == "__main__":
    for present in (1, 2, 3):
        new = present  # the number of the one that joins
        threads = (POST, write(0), POST), (POST_DEFERRED, POST_DEFERRED, write(0)), (join(new), write(new), leave(new))
        print(f"{present} members, three that post, write, join and leave:", end=" ", flush=True)
        print(explore(*threads, (leave(0),) if present > 1 else (), present=present), "worlds, and all is well")
