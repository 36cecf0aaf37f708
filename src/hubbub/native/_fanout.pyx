# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The binding of the compiled fan-out: what it does and promises is said in _fanout.pyi and in the C headers.

Why its fields are safe without the GIL, too: each is set once, before others see the object; or is a number; or belongs
to the lock; or is read and changed in critical sections, as Cython does it for all that Python sees of them.
"""

import asyncio
import os
from weakref import WeakKeyDictionary

from cpython.object cimport PyObject
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from cython cimport critical_section, final, freelist
from hubbub.native._codec cimport Encoded
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strerror

from hubbub.lock import carry_out, inside, later, lock as the_lock, put_off

__all__ = [
    "Addressee", "Counts", "Entry", "Outlet", "Shard", "TotalBacklog", "Writers", "after_fork", "broadcast", "entry"
]


cdef enum:
    SMALL_FRAME = 4096  # bytes up to which a frame is put together on the stack
    AT_ONCE = 64  # notices told before the loop gets a turn: each may be the end of a connection
    HELD = 16384   # bytes up to which a send is shorter than letting another thread have the interpreter

cdef object running_loop = asyncio._get_running_loop
cdef object waiting = put_off
cdef double FOR_EVER = 1e9  # seconds that no socket lives
cdef double PATIENCE = 0.1  # seconds between two looks for signals by a thread that waits for room

cdef tuple POLICIES = ("disconnect", "drop-oldest", "drop-newest", "drop-rest", "latest")
cdef tuple CAUSES = (None, "overflow", "budget", "closed", "error")
cdef tuple CUTS = (None, "overflow", "budget", "stalled", "error")


cdef class TotalBacklog:
    @property
    def used(self):
        return hb_total_backlog()

    def add(self, Py_ssize_t difference):
        hb_total_add(difference)

    def claim(self, size_t own, size_t size, size_t limit):
        return hb_total_claim(own, size, limit)


cdef class Counts:
    cdef hb_counts *c

    def __cinit__(self):
        self.c = hb_counts_new()
        if self.c == NULL:
            raise MemoryError

    def __dealloc__(self):
        hb_counts_drop(self.c)

    @property
    def broadcasts(self):
        return self.c.broadcasts

    @property
    def deliveries(self):
        return self.c.deliveries

    @property
    def writes(self):
        return self.c.writes

    @property
    def bytes(self):
        return self.c.bytes

    @property
    def sends(self):
        return self.c.sends

    @property
    def drops(self):
        return {CAUSES[i]: self.c.drops[i] for i in range(1, HB_CAUSES) if self.c.drops[i]}


include "_outlets.pxi"


cdef class Cursor:
    """A member's place in its shard: in its mailbox, and in its list of members."""

    cdef hb_member *c
    cdef Py_ssize_t index

    def __dealloc__(self):
        if self.c != NULL:
            hb_member_leave(self.c)


cdef class Writers:
    cdef hb_writers *c
    cdef object __weakref__

    cdef size_t max_mailbox, max_mailbox_size
    cdef public int shard_size

    def __cinit__(self, unsigned least, unsigned most, Counts counts, limits):
        self.max_mailbox = limits.max_mailbox
        self.max_mailbox_size = limits.max_mailbox_size
        self.c = hb_writers_new(least, most, counts.c)
        if self.c == NULL:
            raise MemoryError
        self.shard_size = 512
        _pools[self] = None

    def __dealloc__(self):
        if self.c != NULL:
            with nogil:
                hb_writers_stop(self.c)
            hb_writers_drop(self.c)

    def shard(self, channel):
        channel.entry = entry
        return Shard(self, channel)

    @property
    def ended(self):
        return False  # threads need no event loop

    @property
    def size(self):
        return hb_writers_look(self.c).size

    @property
    def busy(self):
        return hb_writers_look(self.c).busy

    @property
    def waiting(self):
        return hb_writers_look(self.c).waiting

    @property
    def failures(self):
        return hb_writers_look(self.c).failures


cdef class Shard:
    cdef hb_shard *c
    cdef readonly Writers writers
    cdef readonly object channel
    cdef readonly list members
    cdef object _promise  # the event loop that is to hand it over: no other one gets its address

    def __cinit__(self, Writers writers, channel):
        self.c = hb_shard_new(writers.c, channel.number)
        if self.c == NULL:
            raise MemoryError
        self.writers = writers
        self.channel = channel
        self.members = []

    def __dealloc__(self):
        hb_shard_drop(self.c)

    def add(self, member):
        cdef Outlet outlet = member.outlet
        cdef Cursor cursor = Cursor.__new__(Cursor)
        with nogil:
            cursor.c = hb_member_join(self.c, outlet.c)
        if cursor.c == NULL:
            raise MemoryError
        cursor.index = len(self.members)
        member.cursor = cursor
        self.members.append(member)

    def remove(self, member):
        cdef Cursor cursor = member.cursor
        cdef hb_member *c = cursor.c
        cursor.c = NULL
        with nogil:
            hb_member_leave(c)
        last = self.members.pop()
        if last is not member:
            self.members[cursor.index] = last
            (<Cursor>last.cursor).index = cursor.index

    def has_room(self, size_t size):
        return self.fits(size)

    cdef bint fits(self, size_t size) noexcept:
        return hb_shard_has_room(self.c, size, self.writers.max_mailbox, self.writers.max_mailbox_size)

    def wait_for_room(self, size_t size, double seconds):
        cdef size_t most = self.writers.max_mailbox, most_size = self.writers.max_mailbox_size
        the_lock.release()
        try:
            with nogil:
                hb_shard_wait_for_room(self.c, size, most, most_size, min(seconds, PATIENCE))
        finally:
            the_lock.acquire()

    def post(self, message):
        if not isinstance(message, Entry):  # made before the channel had its first shard of this kind
            message = entry(message.frame, message.excluded)
        self.append((<Entry>message).c)

    cdef int append(self, hb_entry *c) except -1:
        cdef hb_turn *turn = hb_turn_now()
        loop = running_loop() if turn == NULL else None
        cdef const void *promiser = turn if turn != NULL else <const void *>loop if loop is not None else NULL
        cdef hb_posted posted = hb_shard_post(self.c, c, promiser)
        if posted == HB_NOT_POSTED:
            raise MemoryError
        if posted == HB_POST_WAKES:
            hb_writers_queue(self.writers.c, self.c)
        elif posted == HB_POST_PROMISED and turn != NULL:
            hb_turn_promise(turn, self.c)
        elif posted == HB_POST_PROMISED:
            with critical_section(self):
                self._promise = loop
            loop.call_soon(self._hand_over)
        return 0

    def _hand_over(self):
        with critical_section(self):
            self._promise = None
        with nogil:
            hb_writers_hand_over(self.writers.c, self.c, <size_t>-1)


@final
@freelist(16)
cdef class Entry:
    """A message on its way into mailboxes."""

    cdef hb_entry *c
    cdef readonly object frame
    cdef readonly object excluded

    def __dealloc__(self):
        hb_entry_drop(self.c)


def entry(Encoded frame not None, excluded):
    cdef Entry made = Entry.__new__(Entry)
    cdef bytes wire = frame._wire
    cdef hb_frame *plain = copied(wire)
    made.frame = frame
    made.excluded = excluded
    made.c = with_excluded(plain, excluded) if excluded else hb_entry_new(plain, NULL, 0)
    if made.c == NULL:
        raise MemoryError
    cdef dict deflated = frame._deflated
    if deflated:
        for form, data in deflated.copy().items():
            if data is not wire:
                made.c.forms[<int>form - 8] = copied(data)
    return made


cdef hb_frame *copied(bytes data) except NULL:
    cdef const char *start = PyBytes_AS_STRING(data)
    cdef size_t size = PyBytes_GET_SIZE(data)
    cdef hb_frame *frame
    if size <= HELD:
        frame = hb_frame_new(start, size)
    else:
        with nogil:
            frame = hb_frame_new(start, size)
    if frame == NULL:
        raise MemoryError
    return frame


cdef hb_entry *with_excluded(hb_frame *plain, excluded) noexcept:
    """Takes over the reference to `plain`."""
    cdef size_t count = 0
    cdef hb_entry *c
    cdef uint64_t *ids = <uint64_t *>malloc(len(excluded) * sizeof(uint64_t))
    if ids == NULL:
        hb_frame_drop(plain)
        return NULL
    for outlet in excluded:
        if isinstance(outlet, Outlet):
            ids[count] = (<Outlet>outlet).c.id
            count += 1
    with nogil:
        c = hb_entry_new(plain, ids, count)
    free(ids)
    return c


include "_broadcast.pxi"


cdef class Turn:
    def __dealloc__(self):
        hb_turn_free(&self.c)

    cdef void begin(self) noexcept:
        hb_turn_begin(&self.c)

    cdef void hand_over(self) noexcept:
        if self.c.count:
            with nogil:
                hb_turn_hand_over(&self.c)

    cdef void end(self) noexcept:
        if not self.c.count:
            hb_turn_end(&self.c)
        else:
            with nogil:
                hb_turn_end(&self.c)


cdef object _pools = WeakKeyDictionary()


def after_fork():
    hb_outlet_after_fork()
    hb_poller_after_fork()
    hb_turn_after_fork()
    for pool in list(_pools):
        hb_writers_after_fork((<Writers>pool).c)


os.register_at_fork(after_in_child=after_fork)
