# Part of _reactor.pyx: TLS, by Python's own ssl.SSLObject between the socket and the protocol.

cdef enum:
    RECORD = 16384     # bytes of plain text in one TLS record at the most
    HANDSHAKE = 0x16   # the first byte of a client's hello

cdef bytes NO_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: 61\r\n\r\nThis port speaks TLS: use wss:// or https:// instead of this."
)


cdef class TlsTransport(Transport):
    """A Transport behind TLS. The buffers for what is read are the reactor's: idle connections have none of ours."""

    cdef object context
    cdef object tls, incoming, outgoing
    cdef bint begun     # something came
    cdef bint shaken    # the handshake is done
    cdef bint over      # the peer has said that nothing more comes
    cdef bint said      # we have
    cdef Py_ssize_t unread  # bytes of answers of TLS itself, since something waits for the kernel

    cdef begin(self, Reactor reactor, make):
        self.incoming, self.outgoing = MemoryBIO(), MemoryBIO()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        Transport.begin(self, reactor, make)

    # Bytes in

    cdef take(self, Py_ssize_t size):
        cdef Py_ssize_t at = 0, some
        if not self.begun:
            self.begun = True
            if self.reactor.buffer[0] != HANDSHAKE:
                return self._refuse_plain()
        while at < size and not self.closing and not self.over:  # behind an end nothing counts
            some = min(size - at, RECORD)  # in pieces, for a BIO keeps the room that it once needed
            self.incoming.write(self.reactor.view[at : at + some])
            at += some
            self._advance()

    cdef _advance(self):
        """Decrypt what came, as long as somebody wants it."""
        cdef Py_ssize_t size
        if not self.shaken and not self._shake():
            return
        try:
            while not self.paused and not self.closing and not self.over:
                if self.reactor.over():
                    return self._later()
                size = self.tls.read(RECORD, self.reactor.plain)
                if size == 0:
                    return self._peer_is_done()
                self._deliver(self.reactor.plain[:size], self.reactor.plain_start, size)
                if not self.incoming.pending and not self.tls.pending():
                    break
        except SSLWantReadError:
            pass
        except SSLError as error:
            self._send(self.outgoing.read())
            return self._broken(error)
        if self.outgoing.pending:
            self._answer()

    cdef _answer(self):
        """Send what TLS itself has to say, such as to a new key: to a peer who reads none of that, only so much."""
        answer = self.outgoing.read()
        self._send(answer)
        self.unread = 0 if self.unsent is None else self.unread + len(answer)
        if self.unread > RECORD:
            self._broken(SSLError(0, "the peer asks for new keys, and reads no answer"))

    cdef bint _shake(self) except -1:
        try:
            self.tls.do_handshake()
            self.shaken = True
        except SSLWantReadError:
            pass
        except SSLError as error:
            self._send(self.outgoing.read())  # an alert that says why
            self._broken(error)
            return False
        if self.outgoing.pending:
            self._send(self.outgoing.read())
        return self.shaken

    cdef _later(self):
        if not self.queued:
            self.queued = True
            self.reactor.round.later(self)

    def go_on(self, until):
        """What the round's queue calls."""
        self.queued = False
        if self.fd >= 0 and not self.closing:
            self.reactor.until = <int64_t>(<double>until * 1e9)
            try:
                self._advance()
                if not self.paused and not self.queued and not self.closing:
                    self._watch()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fail(error)

    def resume_reading(self):
        if self.paused:
            self.paused = False
            if self.shaken and (self.incoming.pending or self.tls.pending()):
                self._later()
            else:
                self._watch()

    cdef _peer_is_done(self):
        self.over = True
        if not self.protocol.eof_received():
            self.close()

    cdef ended(self):
        if self.over:
            return
        if not self.shaken:
            return self._lose(None)
        self.over = True
        self.protocol.truncated()
        if not self.protocol.eof_received():
            self.close()

    cdef _broken(self, error):
        self.protocol.tls_failed(error)
        self._lose(error)

    cdef _refuse_plain(self):
        self.protocol.tls_failed(None)
        self._send(NO_TLS)
        Transport.write_eof(self)
        Transport.close(self)

    # Bytes out

    def write(self, data):
        cdef Py_ssize_t at = 0, size = len(data)
        if not self.shaken or self.closing or self.said:
            return
        try:
            if size <= RECORD:
                self.tls.write(data)
                self._send(self.outgoing.read())
                return
            view = memoryview(data)
            parts = []
            while at < size:
                at += self.tls.write(view[at : at + RECORD])
                parts.append(self.outgoing.read())
            self._send(b"".join(parts))
        except SSLError as error:
            self._lose(error)

    cdef _say_goodbye(self):
        """A close_notify: the end of what we say, which no man in the middle can forge."""
        if self.shaken and not self.said and not self.lost:
            self.said = True
            try:
                self.tls.unwrap()
            except SSLError:  # the peer's is still to come
                pass
            if self.outgoing.pending:
                self._send(self.outgoing.read())

    def write_eof(self):
        if not self.shaken:
            return self.abort()
        self._say_goodbye()
        Transport.write_eof(self)

    def close(self):
        if not self.closing:
            self._say_goodbye()
            Transport.close(self)

    def give(self):
        raise TypeError("the descriptor of a TLS connection is its transport's alone")

    def get_extra_info(self, name, default=None):
        if name == "sslcontext":
            return self.context
        if name == "ssl_object":
            return self.tls
        if name == "peercert":
            return self.tls.getpeercert() if self.shaken else default
        if name == "cipher":
            return self.tls.cipher()
        return Transport.get_extra_info(self, name, default)
