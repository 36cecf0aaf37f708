# Part of _reactor.pyx: one accepted socket, by asyncio's contract.

cdef class Transport(Source):
    cdef object protocol
    cdef Reader reader    # who parses what comes, if that is not the protocol
    cdef object straight  # the protocol's phase in which messages need no look by `found`
    cdef bytearray unsent
    cdef address peer
    cdef object path      # or the name of a peer with a Unix socket, if it has one
    cdef bint given       # the descriptor is closed by an outlet
    cdef bint paused, closing, lost, ends
    cdef bint queued      # in the round's queue: what was read waits below TLS, so nothing more is read before it
    cdef uint32_t forks   # of the process before it

    def __cinit__(self):
        self.fd = GONE
        self.forks = forks

    def __init__(self):
        raise TypeError("an Acceptor makes it")

    def __dealloc__(self):
        if self.fd >= 0 and not self.given:
            self._end_stream(self.fd)

    cdef begin(self, Reactor reactor, make):
        self.reactor = reactor
        try:
            self.protocol = make()
            self.protocol.connection_made(self)
            reactor.add(self, self._events())
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fail(error)

    # Bytes in

    cdef ready(self, uint32_t events):
        try:
            if events & EPOLLOUT:
                self._flush()
            if events & ~<uint32_t>EPOLLOUT:
                # Reads of a Unix socket stop short where descriptors were passed, too, and no event tells of those.
                self._read(events & BEYOND != 0 or self.peer.any.sa_family == AF_UNIX)
        except (SystemExit, KeyboardInterrupt):  # the program's end: it may let the loop run on for that
            self._watch()
            raise
        except BaseException as error:  # a CancelledError, too, as loops do
            self._fail(error)

    cdef _read(self, bint until_empty):
        cdef ssize_t size
        for _ in range(READS):
            if self.paused or self.queued or self.closing:
                return
            size = recv(self.fd, self.reactor.buffer, <size_t>self.reactor.size, MSG_DONTWAIT)
            if size > 0:
                self.take(size)
                # Less than would fit was all there is, and what comes later is an event of its own; but what a read
                # stops short of, as the end and urgent data, is none if it came before.
                if size < self.reactor.size:
                    if not until_empty:
                        return
                else:  # of small messages that is a mailbox full
                    self.reactor.hand_over()
            elif size == 0:
                return self.ended()
            elif errno == EAGAIN:
                return
            elif errno != EINTR:
                return self._lose(failure())
        if not self.paused and not self.queued:
            self._watch()  # there is more: to be told of it again

    cdef take(self, Py_ssize_t size):
        """So many bytes are in the reactor's buffer."""
        self._deliver(self.reactor.view[:size] if self.reader is None else None, self.reactor.buffer, size)

    cdef ended(self):
        """The peer sends no more."""
        if not self.protocol.eof_received():
            self.close()

    cdef _deliver(self, view, const uint8_t *data, Py_ssize_t size):
        if self.reader is None:
            self.protocol.received(view)
            return
        cdef Reader reader = self.reader
        cdef size_t at = 0
        cdef bint before = reader.begun()
        try:
            event = reader.take(data, <size_t>size, &at)
            if at == <size_t>size and not before and is_message(event) and not reader.begun():
                self.protocol.whole(event)
                return
        except PeerError as error:
            self.protocol.fault(error.with_traceback(None))
            return
        deliver(self.protocol, self.straight, reader, event, data, <size_t>size, &at,
                min(self.reactor.until, now_ns() + SHARE_NS))

    def parse(self, Reader reader, straight=None):  # or None: nobody can any more
        self.reader = reader
        self.straight = straight

    def pause_reading(self):
        self.paused = True  # resuming asks to be told again, so that no event needs to be unasked for

    def resume_reading(self):
        if self.paused:
            self.paused = False
            self._watch()

    # Bytes out, where there is no outlet yet

    def write(self, data):
        self._send(data)

    cdef _send(self, data):
        cdef Py_buffer view
        cdef ssize_t sent
        if self.fd < 0 or self.closing:
            return
        if self.unsent is not None:
            self.unsent += data
            return
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            sent = send(self.fd, view.buf, <size_t>view.len, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent < view.len:
                self._sent(data, sent)
        finally:
            PyBuffer_Release(&view)

    cdef _sent(self, data, ssize_t sent):
        """The kernel has not taken all of it, or failed."""
        if sent < 0 and errno != EAGAIN and errno != EINTR:
            return self._lose(failure())
        self.unsent = bytearray(data[max(sent, 0):])
        self._watch()
        self.protocol.pause_writing()

    cdef _flush(self):
        cdef ssize_t sent
        if self.unsent is None:
            return
        sent = send(self.fd, PyByteArray_AS_STRING(self.unsent), <size_t>len(self.unsent), MSG_NOSIGNAL | MSG_DONTWAIT)
        if sent < 0 and errno != EAGAIN and errno != EINTR:
            return self._lose(failure())
        del self.unsent[:max(sent, 0)]
        if self.unsent:
            return
        self.unsent = None
        if self.ends:
            shutdown(self.fd, SHUT_WR)
        if self.closing:
            return self._lose(None)
        self._watch()
        self.protocol.resume_writing()

    def get_write_buffer_size(self):
        return 0 if self.unsent is None else len(self.unsent)

    def set_write_buffer_limits(self, high=None, low=None):
        """The protocol is paused whenever the kernel has not taken everything."""

    def can_write_eof(self):
        return True

    def write_eof(self):
        if not self.ends and self.fd >= 0:
            self.ends = True
            if self.unsent is None:
                shutdown(self.fd, SHUT_WR)

    # The end

    def is_closing(self):
        return self.closing

    def close(self):
        if self.closing:
            return
        self.closing = True
        if self.unsent is None:
            self._lose(None)

    def abort(self):
        self._lose(None)

    cdef _lose(self, error):
        """Whatever happens next, it is over."""
        self.closing = True
        self.unsent = None
        if not self.lost:
            self.lost = True
            self.reactor.loop.call_soon(self._lost, error)

    def _lost(self, error):
        cdef int fd = self.fd
        self.reactor.forget(self)
        self.fd = GONE
        protocol, self.protocol, self.reader = self.protocol, None, None
        try:
            if protocol is not None:
                protocol.connection_lost(error)
        finally:
            if not self.given and fd >= 0:
                self._end_stream(fd)

    cdef void _end_stream(self, int fd) noexcept:
        """Closing alone tells the peer nothing while a child of a fork has a copy of the descriptor."""
        if self.forks == forks:  # else we are the child, and the stream is the parent's
            shutdown(fd, SHUT_RDWR)
        close_descriptor(fd)

    cdef _fail(self, error):
        self.reactor.loop.call_exception_handler(
            {"message": "a connection failed", "exception": error, "transport": self, "protocol": self.protocol}
        )
        self._lose(error)

    def fileno(self):
        return self.fd

    def give(self):
        self.given = True

    def get_extra_info(self, name, default=None):
        cdef char text[INET6_ADDRSTRLEN]
        if name != "peername":
            return default
        if self.path is not None:
            return self.path
        if self.peer.any.sa_family == AF_INET:
            inet_ntop(AF_INET, &self.peer.v4.sin_addr, text, INET6_ADDRSTRLEN)
            return text.decode("ascii"), ntohs(self.peer.v4.sin_port)
        if self.peer.any.sa_family == AF_INET6:
            inet_ntop(AF_INET6, &self.peer.v6.sin6_addr, text, INET6_ADDRSTRLEN)
            flow = ntohl(self.peer.v6.sin6_flowinfo)
            return text.decode("ascii"), ntohs(self.peer.v6.sin6_port), flow, self.peer.v6.sin6_scope_id
        return default

    cdef uint32_t _events(self):
        cdef uint32_t events = EPOLLET | EPOLLIN | EPOLLPRI | EPOLLRDHUP
        if self.unsent is not None:
            events |= EPOLLOUT
        return events

    cdef _watch(self):
        self.reactor.change(self, self._events())
