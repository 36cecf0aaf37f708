# Part of _reactor.pyx: TLS, by Python's own ssl.SSLObject between the socket and the protocol.

cdef enum:
    RECORD = 16384     # bytes of plain text in one TLS record at the most
    HANDSHAKE = 0x16   # the first byte of a client's hello

cdef bytes NO_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: 61\r\n\r\nThis port speaks TLS: use wss:// or https:// instead of this."
)


cdef class TlsTransport(Transport):
    """A Transport behind TLS. All buffers are the reactor's: idle connections have none of ours.

    So are the BIOs that OpenSSL reads from and writes to. Whoever calls it has both to himself for that call: what it
    wrote is sent before anybody else is called, and what it did not read is kept here when it stops.
    """

    cdef object context
    cdef object tls
    cdef object encrypt  # its `write`, without the way there
    cdef bytes rest     # of what came, encrypted, for which there was no time or no room
    cdef bint begun     # something came
    cdef bint shaken    # the handshake is done
    cdef bint over      # the peer has said that nothing more comes
    cdef bint said      # we have
    cdef Py_ssize_t unread  # bytes of answers of TLS itself, since something waits for the kernel

    cdef begin(self, Reactor reactor, make):
        self.tls = self.context.wrap_bio(reactor.incoming, reactor.outgoing, server_side=True)
        Transport.begin(self, reactor, make)

    # Bytes in

    cdef take(self, Py_ssize_t size):
        cdef Py_ssize_t at = 0, some
        if not self.begun:
            self.begun = True
            if self.reactor.buffer[0] != HANDSHAKE:
                return self._refuse_plain()
        incoming = self.reactor.incoming
        try:
            if self.rest is not None:
                incoming.write(self.rest)
                self.rest = None
            while at < size and not self.closing and not self.over:  # behind an end nothing counts
                # in pieces, for a BIO keeps the room that it once needed
                some = size - at if self.paused or self.queued else min(size - at, RECORD)
                incoming.write(self.reactor.view[at : at + some])
                at += some
                self._advance()
        finally:
            self._keep_rest()

    cdef _keep_rest(self):
        incoming = self.reactor.incoming
        if incoming.pending:
            rest = incoming.read()
            if not self.closing and not self.over:
                self.rest = rest

    cdef _advance(self):
        """Decrypt what came, as long as somebody wants it."""
        cdef Py_ssize_t size
        if not self.shaken and not self._shake():
            return
        incoming, outgoing = self.reactor.incoming, self.reactor.outgoing
        try:
            while not self.paused and not self.closing and not self.over:
                if self.reactor.over():
                    return self._later()
                size = self.tls.read(RECORD, self.reactor.plain)
                if outgoing.pending:
                    self._answer()
                if size == 0:
                    return self._peer_is_done()
                self._deliver(self.reactor.plain[:size], self.reactor.plain_start, size)
                if not incoming.pending and not self.tls.pending():
                    break
        except SSLWantReadError:
            pass
        except SSLError as error:
            self._send(outgoing.read())
            return self._broken(error)
        if outgoing.pending:
            self._answer()

    cdef _answer(self):
        """Send what TLS itself has to say, such as to a new key: to a peer who reads none of that, only so much."""
        answer = self.reactor.outgoing.read()
        self._send(answer)
        self.unread = 0 if self.unsent is None else self.unread + len(answer)
        if self.unread > RECORD:
            self._broken(SSLError(0, "the peer asks for new keys, and reads no answer"))

    cdef bint _shake(self) except -1:
        try:
            self.tls.do_handshake()
            self.shaken = True
            self.encrypt = getattr(self.tls, "_sslobj", self.tls).write
        except SSLWantReadError:
            pass
        except SSLError as error:
            self._send(self.reactor.outgoing.read())  # an alert that says why
            self._broken(error)
            return False
        if self.reactor.outgoing.pending:
            self._send(self.reactor.outgoing.read())
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
                if self.rest is not None:
                    self.reactor.incoming.write(self.rest)
                    self.rest = None
                try:
                    self._advance()
                finally:
                    self._keep_rest()
                if not self.paused and not self.queued and not self.closing:
                    self._watch()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fail(error)

    def resume_reading(self):
        if self.paused:
            self.paused = False
            if self.shaken and (self.rest is not None or self.tls.pending()):
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
        if size <= RECORD:
            return self._write_record(data)
        view = memoryview(data)
        parts = []
        try:
            while at < size:
                at += self.tls.write(view[at : at + RECORD])
                parts.append(self.reactor.outgoing.read())
        except SSLError as error:
            return self._lose(error)
        self._send(b"".join(parts))

    cdef _write_record(self, data):
        cdef bytes record
        cdef ssize_t sent
        try:
            self.encrypt(data)
        except SSLError as error:
            return self._lose(error)
        record = self.reactor.encrypted()
        if self.unsent is None:
            sent = send(self.fd, PyBytes_AS_STRING(record), <size_t>PyBytes_GET_SIZE(record), MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent == PyBytes_GET_SIZE(record):
                return
            self._sent(record, sent)
        else:
            self.unsent += record

    cdef _say_goodbye(self):
        """A close_notify: the end of what we say, which no man in the middle can forge."""
        if self.shaken and not self.said and not self.lost:
            self.said = True
            incoming, outgoing = self.reactor.incoming, self.reactor.outgoing
            others = incoming.read() if incoming.pending else None  # of whoever is calling us: this would read it
            try:
                self.tls.unwrap()
            except SSLError:  # the peer's is still to come
                pass
            if others is not None:
                incoming.write(others)
            if outgoing.pending:
                self._send(outgoing.read())

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


def spread(list members not None, start, end, loop, excluded, bytes data not None):
    """What the writers of an event loop do most, over TLS: the same bytes to each of these members.

    Returns: how many were served, and the others.
    """
    cdef Py_ssize_t served = 0
    cdef list others = []
    cdef TlsTransport sink
    for member in members:
        outlet = member.outlet
        if (
            type(outlet.sink) is not TlsTransport
            or outlet.ready is not loop
            or outlet.form is not None
            or member.cursor != start
            or (excluded and outlet in excluded)
        ):
            others.append(member)
            continue
        sink = <TlsTransport>outlet.sink
        member.cursor = end
        served += 1
        if sink.closing or sink.said:
            continue
        try:
            sink._write_record(data)
        except Exception as error:
            outlet.fail(error)
    return served, others
