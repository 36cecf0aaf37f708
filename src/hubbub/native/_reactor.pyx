# cython: language_level=3, boundscheck=False, wraparound=False, nonecheck=True, auto_pickle=False
# cython: freethreading_compatible=True
"""The compiled way in: what accepts, reads and closes plain TCP and Unix sockets. `_reactor.pyi` says what each call does.

All of it runs on the thread of its event loop.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject, PyTypeObject
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EBADF, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport strerror
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import os
from os import fsdecode
from ssl import MemoryBIO, SSLError, SSLWantReadError

from hubbub.errors import PeerError
from hubbub.native._codec cimport Reader
from hubbub.native._fanout cimport Turn

__all__ = ["Acceptor", "Reactor", "Transport", "advance", "spread"]


cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLERR, EPOLLHUP, EPOLLET
        EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
    union epoll_data:
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event *)
    int epoll_wait(int, epoll_event *, int, int)


cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET, AF_INET6, AF_UNIX, MSG_NOSIGNAL, MSG_DONTWAIT, SHUT_WR, SHUT_RDWR, SOCK_CLOEXEC, SOCK_NONBLOCK
    ctypedef unsigned socklen_t
    struct sockaddr:
        uint16_t sa_family
    int accept4(int, sockaddr *, socklen_t *, int)
    ssize_t recv(int, void *, size_t, int)
    ssize_t send(int, const void *, size_t, int)
    int shutdown(int, int)


cdef extern from "<arpa/inet.h>" nogil:
    enum:
        INET6_ADDRSTRLEN
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        uint32_t sin6_flowinfo, sin6_scope_id
        in6_addr sin6_addr
    const char *inet_ntop(int, const void *, char *, socklen_t)
    uint16_t ntohs(uint16_t)
    uint32_t ntohl(uint32_t)


cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        char sun_path[108]


cdef extern from "<unistd.h>" nogil:
    int close_descriptor "close" (int)


cdef enum:
    AT_ONCE = 256  # events asked for at once
    SHARE_NS = 500000  # for one connection, before the others have their turn
    ACCEPTS = 32   # connections that come in, as one event
    READS = 4      # of one socket, while each fills the buffer

    BEYOND = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI  # behind what one read takes, the end or urgent data may wait
    GONE = -1      # no descriptor


cdef extern from *:
    """
    // Connections that have not been heard of for a while lie all over the memory: have what the next events need fetched
    // during the reads before them.
    #define FETCH(thing, lines) \
        for (int line = 0; line < (lines); line++) __builtin_prefetch((const char *)(thing) + 64 * line, 1)
    """
    void FETCH(const void *, int) noexcept
    PyObject *PyList_GET_ITEM(list, Py_ssize_t) noexcept
    Py_ssize_t PyList_GET_SIZE(list) noexcept

cdef double FOR_EVER = 1e9  # seconds


cdef union address:
    sockaddr any
    sockaddr_in v4
    sockaddr_in6 v6


cdef union any_address:
    address ip
    sockaddr_un path


cdef uint32_t forks = 0


def _count_fork():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_count_fork)


cdef class Source:
    """What a Reactor waits for."""

    cdef Reactor reactor
    cdef int fd

    cdef ready(self, uint32_t events):
        raise NotImplementedError


cdef class Reactor:
    cdef readonly object loop
    cdef int fd
    cdef Turn posts
    cdef list sources  # by descriptor, so that an event of a closed one finds nobody, or at worst reads in vain
    cdef object view  # which keeps the buffer
    cdef uint8_t *buffer
    cdef Py_ssize_t size
    cdef object incoming, outgoing  # BIOs that all connections over TLS share: empty, but while one is read or written
    cdef object encrypted  # takes what is in the latter
    cdef object plain  # what TLS connections have decrypted is read into this one
    cdef const uint8_t *plain_start
    cdef epoll_event events[AT_ONCE]
    cdef int at, count  # in `events`: what there was no time for is told in the next round
    cdef object round
    cdef int64_t until  # when this round's time is up
    cdef bint due       # a turn of its own is, for what is left

    def __cinit__(self, loop, buffer, round):
        cdef Py_buffer exported
        self.fd = GONE
        self.loop = loop
        self.round = round
        self.view = memoryview(buffer)
        PyObject_GetBuffer(self.view, &exported, PyBUF_WRITABLE)
        self.buffer = <uint8_t *>exported.buf
        self.size = exported.len
        PyBuffer_Release(&exported)
        self.incoming, self.outgoing = MemoryBIO(), MemoryBIO()
        self.encrypted = self.outgoing.read
        self.plain = memoryview(bytearray(RECORD))
        PyObject_GetBuffer(self.plain, &exported, PyBUF_WRITABLE)
        self.plain_start = <const uint8_t *>exported.buf
        PyBuffer_Release(&exported)
        self.sources = []
        self.posts = Turn()
        self.fd = epoll_create1(EPOLL_CLOEXEC)
        if self.fd < 0:
            raise failure()
        loop.add_reader(self.fd, self.turn)

    def __dealloc__(self):
        if self.fd >= 0:
            close_descriptor(self.fd)

    def close(self):
        if self.fd >= 0:
            self.loop.remove_reader(self.fd)
            close_descriptor(self.fd)
            self.fd = GONE

    def turn(self):
        """What the loop calls when there are events."""
        if not self.due:  # else that turn, in the same round, will see them, too
            self._turn()

    def rest(self):
        """The turn that is due in the next round."""
        self.due = False
        self._turn()

    cdef _turn(self):
        cdef epoll_event *event
        cdef Source source
        cdef int64_t began = now_ns()
        self.until = began + <int64_t>(<double>self.round.left() * 1e9)
        if self.at == self.count:
            self.at = 0
            self.count = max(0, epoll_wait(self.fd, self.events, AT_ONCE, 0))
        self.posts.begin()
        try:
            while self.at < self.count:
                event = &self.events[self.at]
                self.at += 1
                self.foresee()
                if event.data.fd < len(self.sources) and self.sources[event.data.fd] is not None:
                    source = <Source>self.sources[event.data.fd]
                    source.ready(event.events)
                    if self.over():
                        break
        finally:
            self.posts.end()
            self.round.spend((now_ns() - began) / 1e9)
            if self.at < self.count and not self.due:
                self.due = True
                self.loop.call_soon(self.rest)

    cdef void foresee(self) noexcept:
        cdef PyObject *source
        if self.at + 4 < self.count:
            source = self.source_of(&self.events[self.at + 4])
            FETCH(source, 3)
        if self.at + 2 < self.count:
            source = self.source_of(&self.events[self.at + 2])
            if source != NULL and source.ob_type == <PyTypeObject *>Transport:
                FETCH(<void *>(<Transport>source).protocol, 5)
                FETCH(<void *>(<Transport>source).reader, 2)

    cdef PyObject *source_of(self, const epoll_event *event) noexcept:
        if event.data.fd < PyList_GET_SIZE(self.sources):
            return PyList_GET_ITEM(self.sources, event.data.fd)
        return NULL

    cdef bint over(self):
        return now_ns() >= self.until or self.round.closed

    cdef hand_over(self):
        """Let what was posted leave now, for more may come in this turn than mailboxes hold."""
        self.posts.hand_over()

    cdef bint knows(self, Source source) noexcept:
        return 0 <= source.fd < len(self.sources) and self.sources[source.fd] is source

    cdef add(self, Source source, uint32_t events):
        while len(self.sources) <= source.fd:
            self.sources.append(None)
        self._control(EPOLL_CTL_ADD, source, events)
        self.sources[source.fd] = source

    cdef change(self, Source source, uint32_t events):
        """Even to the same events: what is ready is told again."""
        if self.knows(source) and self.fd >= 0:
            self._control(EPOLL_CTL_MOD, source, events)

    cdef forget(self, Source source):
        if self.knows(source):
            self.sources[source.fd] = None
            if self.fd >= 0:  # closing would do, were it not for children of a fork, in which the socket lives on
                self._control(EPOLL_CTL_DEL, source, 0)

    cdef _control(self, int operation, Source source, uint32_t events):
        cdef epoll_event event
        event.events = events
        event.data.fd = source.fd
        if epoll_ctl(self.fd, operation, source.fd, &event) < 0 and operation != EPOLL_CTL_DEL:
            raise failure()


cdef class Acceptor(Source):
    cdef object make, failed, tls

    def __cinit__(self, Reactor reactor, int descriptor, make, failed, tls=None):
        self.reactor = reactor
        self.tls = tls
        self.fd = descriptor
        self.make = make
        self.failed = failed

    def start(self):
        self.reactor.add(self, EPOLLIN)

    def close(self):
        self.reactor.forget(self)

    cdef ready(self, uint32_t events):
        cdef Transport transport
        cdef any_address peer
        cdef socklen_t size
        for _ in range(ACCEPTS):
            transport = Transport.__new__(Transport) if self.tls is None else TlsTransport.__new__(TlsTransport)
            if self.tls is not None:
                (<TlsTransport>transport).context = self.tls
            size = sizeof(peer)
            transport.fd = accept4(self.fd, &peer.ip.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if transport.fd >= 0:
                transport.peer = peer.ip
                if peer.ip.any.sa_family == AF_UNIX:
                    transport.path = unix_name(&peer.path, size)
                transport.begin(self.reactor, self.make)
                if self.reactor.over():
                    return  # the others are told of again
            elif errno == EAGAIN:
                return
            elif errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM, EBADF, EINVAL, ENOTSOCK):
                error = failure()
                self.close()
                self.failed(error)
                return
            # else it is the connection that failed, before we came


include "_transport.pxi"
include "_tls.pxi"


def advance(protocol, straight, Reader reader not None, bytes data not None, Py_ssize_t at, double until):
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef size_t next = <size_t>at, size = <size_t>PyBytes_GET_SIZE(data)
    try:
        event = reader.take(start, size, &next)
    except PeerError as error:
        protocol.fault(error.with_traceback(None))
        return
    deliver(protocol, straight, reader, event, start, size, &next, <int64_t>(min(until, FOR_EVER) * 1e9))


cdef deliver(protocol, straight, Reader reader, event, const uint8_t *data, size_t size, size_t *at, int64_t until):
    """This event and those behind it, until nobody wants more or the time is up. The rest is the protocol's to keep."""
    cdef bint fresh = False, more
    message = protocol.message
    try:
        while event is not None:
            if not is_message(event):
                more = protocol.found(event)
            elif protocol.phase is straight:
                fresh = True
                message(event)
                more = not protocol.held
            else:
                fresh = True
                more = protocol.found(event)
            if not more or at[0] == size or now_ns() >= until:
                break
            event = reader.take(data, size, at)
    except PeerError as error:
        at[0] = size  # nobody wants what follows
        protocol.fault(error.with_traceback(None))
        return
    finally:  # whatever was raised
        if at[0] < size:
            protocol.keep(PyBytes_FromStringAndSize(<const char *>data + at[0], <Py_ssize_t>(size - at[0])))
    if at[0] == size:
        protocol.read_to_end(fresh)


cdef inline bint is_message(event) noexcept:
    return type(event) is str or type(event) is bytes


cdef int64_t now_ns() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef unix_name(const sockaddr_un *address, socklen_t size):
    """A path, or the bytes of an abstract name, as Python's sockets give them; None for most clients, who have none."""
    cdef Py_ssize_t length = min(size, sizeof(sockaddr_un)) - (sizeof(sockaddr_un) - sizeof(address.sun_path))
    if length <= 0:
        return None
    cdef bytes name = address.sun_path[:length]
    return name if name.startswith(b"\0") else fsdecode(name.rstrip(b"\0"))


cdef failure():
    return OSError(errno, strerror(errno).decode())
