# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
"""The compiled codec: the twin of `hubbub.wire.reader`, bound to `codec.c`. `_codec.pyi` says what each call does."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from hubbub.errors import InvalidPayload, MessageTooBig, Misuse, PolicyViolation, ProtocolError
from hubbub.wire.deflate import INVALID, Inflater
from hubbub.wire.received import NOT_UTF8, Ping, Pong, ReceivedClose, sendable

__all__ = ["Encoded", "Reader", "judge_head", "mask", "read_head"]


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    uint8_t *PyUnicode_1BYTE_DATA(object text)


cdef extern from "codec.h":
    enum codec_opcode:
        CODEC_BINARY
        CODEC_PING
        CODEC_PONG

    enum codec_fault:
        CODEC_NO_FAULT
        CODEC_RESERVED_BIT
        CODEC_MESSAGE_IN_MESSAGE
        CODEC_CONTINUATION_OF_NOTHING
        CODEC_RESERVED_OPCODE
        CODEC_FRAGMENTED_CONTROL
        CODEC_UNMASKED
        CODEC_LONG_CONTROL
        CODEC_LENGTH_OF_64_BITS
        CODEC_LENGTH_NOT_SHORTEST
        CODEC_MANY_FRAGMENTS
        CODEC_TOO_BIG
        CODEC_NOT_UTF8
        CODEC_INFLATED_NOT_UTF8
        CODEC_INFLATED_TOO_BIG
        CODEC_NO_MEMORY

    enum codec_kind:
        CODEC_MORE
        CODEC_WHOLE
        CODEC_PIECE
        CODEC_MESSAGE
        CODEC_CONTROL_FRAME
        CODEC_FAULTY

    struct codec_item:
        const uint8_t *data
        size_t size
        const uint8_t *key
        uint8_t opcode
        codec_fault fault
        const uint8_t *control

    uint8_t mask_bytes(uint8_t *out, const uint8_t *data, size_t size, const uint8_t *key)
    codec_kind codec_next(codec *parser, const uint8_t *data, size_t size, size_t *at, codec_item *item)
    int64_t codec_room(const codec *parser)
    codec_fault codec_inflated(codec *parser, const uint8_t *data, size_t size)
    bint codec_text_is_whole(const codec *parser)
    void codec_end_message(codec *parser)
    void codec_clear(codec *parser)


cdef extern from "encode.h":
    size_t encode_head_size(uint64_t size)
    void encode_head(uint8_t *to, uint8_t first, uint64_t size)


cdef extern from "head.h":
    struct head_part:
        const uint8_t *data
        size_t size

    struct head:
        head_part target
        const uint8_t *key
        size_t count, size
        head_part *names
        head_part *values

    bint head_read(const uint8_t *data, size_t size, size_t max_lines, size_t max_size, head *found)


cdef extern from "accept.h":
    enum:
        ACCEPT_SIZE
    void accept_answer(const uint8_t *key, uint8_t *answer)


cdef enum:
    HELD = 16384  # bytes up to which copying is shorter than letting another thread have the interpreter


cdef dict FAULTS = {  # with the words of the Python twin
    CODEC_RESERVED_BIT: (ProtocolError, "a reserved bit is set"),
    CODEC_MESSAGE_IN_MESSAGE: (ProtocolError, "a new message inside a fragmented one"),
    CODEC_CONTINUATION_OF_NOTHING: (ProtocolError, "a continuation of nothing"),
    CODEC_RESERVED_OPCODE: (ProtocolError, "a reserved opcode"),
    CODEC_FRAGMENTED_CONTROL: (ProtocolError, "a fragmented control frame"),
    CODEC_UNMASKED: (ProtocolError, "an unmasked frame"),
    CODEC_LONG_CONTROL: (ProtocolError, "a control frame of more than 125 bytes"),
    CODEC_LENGTH_OF_64_BITS: (ProtocolError, "a length of more than 63 bits"),
    CODEC_LENGTH_NOT_SHORTEST: (ProtocolError, "a length that is not in its shortest form"),
    CODEC_MANY_FRAGMENTS: (PolicyViolation, "a message of too many fragments"),
    CODEC_TOO_BIG: (MessageTooBig, "a message is too big"),
    CODEC_NOT_UTF8: (InvalidPayload, NOT_UTF8),
    CODEC_INFLATED_NOT_UTF8: (InvalidPayload, INVALID),
    CODEC_INFLATED_TOO_BIG: (MessageTooBig, "a message is too big when inflated"),
}


cdef class Encoded:
    def __cinit__(self, opcode, bytes payload not None):
        cdef size_t size = PyBytes_GET_SIZE(payload), head = encode_head_size(size)
        self.opcode = opcode
        self.payload = payload
        self._wire = PyBytes_FromStringAndSize(NULL, head + size)
        encode_head(<uint8_t *>PyBytes_AS_STRING(self._wire), 0x80 | <int>opcode, size)
        cdef char *to = PyBytes_AS_STRING(self._wire) + head
        cdef const char *start = PyBytes_AS_STRING(payload)
        if size <= HELD:
            memcpy(to, start, size)
        else:
            with nogil:
                memcpy(to, start, size)

    def _keep(self, form, bytes data not None):
        with cython.critical_section(self):
            if self._deflated is None:
                self._deflated = {}
            return self._deflated.setdefault(form, data)


@cython.final
@cython.no_gc  # an inflater refers to nothing that could refer back
cdef class Reader:
    """Frames in, messages and control frames out: the twin of `hubbub.wire.reader.Reader`."""

    def __cinit__(self, *, max_message_size, max_fragments, agreed):
        self.parser.max_message_size = max(-1, min(max_message_size, INT64_MAX))
        self.parser.max_fragments = max(-1, min(max_fragments, INT64_MAX))
        self.parser.deflates = agreed is not None
        self.inflater = None if agreed is None else Inflater(agreed, max_fragments)

    def __dealloc__(self):
        codec_clear(&self.parser)

    @property
    def unfinished(self):
        return self.begun()

    cdef bint begun(self) noexcept:
        return self.parser.head_size != 0 or self.parser.unfinished is not NULL

    def read(self, data, list received not None, Py_ssize_t at=0, Py_ssize_t most=PY_SSIZE_T_MAX):
        cdef Py_buffer view
        cdef size_t next
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            next = <size_t>max(0, min(at, view.len))
            while most > 0 and next < <size_t>view.len:
                event = self.take(<const uint8_t *>view.buf, <size_t>view.len, &next)
                if event is None:
                    break
                received.append(event)
                most -= 1
                if type(event) is ReceivedClose:  # nothing after it is looked at
                    break
            return next
        finally:
            PyBuffer_Release(&view)

    cdef object take(self, const uint8_t *data, size_t size, size_t *at):
        """The next event; None if there is none, and then `at` is `size`."""
        with cython.critical_section(self):
            if self.reading:  # inflation lets other threads run, and what it is for must stay as it is
                raise Misuse("a Reader is read by one thread at a time")
            self.reading = True
            try:
                return take(self, data, size, at)
            finally:
                self.reading = False


def mask(data, bytes key not None):
    """The twin of `hubbub.wire.masking.mask`."""
    if len(key) != 4:
        raise ValueError(f"a mask has four bytes, not {len(key)}")
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return unmasked(<const uint8_t *>view.buf, <size_t>view.len, <const uint8_t *>PyBytes_AS_STRING(key))
    finally:
        PyBuffer_Release(&view)


def judge_head(data, size_t max_headers, size_t max_size, bytes before not None):
    cdef Py_buffer view
    cdef head found
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if not head_read(<const uint8_t *>view.buf, <size_t>view.len, max_headers, max_size, &found):
            return None
        return (
            latin(&found.target),
            PyBytes_FromStringAndSize(<const char *>view.buf, <Py_ssize_t>found.size),
            answer_to(found.key, before),
        )
    finally:
        PyBuffer_Release(&view)


cdef bytes answer_to(const uint8_t *key, bytes before):
    """The usual answer: what comes before the key's own part, that, and the end of two lines."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(before)
    out = PyBytes_FromStringAndSize(NULL, size + ACCEPT_SIZE + 4)
    cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(out)
    memcpy(to, PyBytes_AS_STRING(before), <size_t>size)
    accept_answer(key, to + size)
    memcpy(to + size + ACCEPT_SIZE, b"\r\n\r\n", 4)
    return out


def read_head(data, size_t max_headers, size_t max_size):
    cdef Py_buffer view
    cdef head found
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if not head_read(<const uint8_t *>view.buf, <size_t>view.len, max_headers, max_size, &found):
            return None
        pairs = [(lowered(&found.names[at]), latin(&found.values[at])) for at in range(found.count)]
        return latin(&found.target), pairs, found.size
    finally:
        PyBuffer_Release(&view)


cdef str latin(const head_part *part):
    return PyUnicode_DecodeLatin1(<const char *>part.data, <Py_ssize_t>part.size, NULL)


cdef str lowered(const head_part *part):
    """A header's name, which is ASCII, in lower case."""
    out = PyUnicode_New(<Py_ssize_t>part.size, 127)
    cdef uint8_t *letters = PyUnicode_1BYTE_DATA(out)
    cdef uint8_t letter
    cdef size_t at
    for at in range(part.size):
        letter = part.data[at]
        letters[at] = letter | 0x20 if c"A" <= letter <= c"Z" else letter
    return out


cdef object take(Reader reader, const uint8_t *data, size_t size, size_t *at):
    cdef codec_item item
    cdef codec_kind kind
    while True:
        kind = codec_next(&reader.parser, data, size, at, &item)
        if kind == CODEC_WHOLE:
            return whole(&item)
        elif kind == CODEC_MORE:
            return None
        elif kind == CODEC_MESSAGE:
            return finish(reader)
        elif kind == CODEC_PIECE:
            piece = unmasked(item.data, item.size, item.key)
            add(reader, reader.inflater.inflate(piece, codec_room(&reader.parser)))
        elif kind == CODEC_CONTROL_FRAME:
            return control(&item)
        else:
            fail(item.fault)


cdef int fail(codec_fault fault) except -1:
    if fault == CODEC_NO_MEMORY:
        raise MemoryError
    kind, said = FAULTS[fault]
    raise kind(said)


cdef bytes unmasked(const uint8_t *data, size_t size, const uint8_t *key):
    out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    mask_bytes(<uint8_t *>PyBytes_AS_STRING(out), data, size, key)
    return out


cdef object whole(const codec_item *item):
    """A message that lies in the read: unmasked right into its object, which is dropped if it is not ASCII."""
    if item.opcode == CODEC_BINARY:
        return unmasked(item.data, item.size, item.key)
    out = PyUnicode_New(<Py_ssize_t>item.size, 127)
    cdef uint8_t *characters = PyUnicode_1BYTE_DATA(out)
    if mask_bytes(characters, item.data, item.size, item.key) & 0x80:
        return decoded(characters, item.size, NOT_UTF8)
    return out


cdef object decoded(const uint8_t *data, size_t size, fault):
    try:
        return PyUnicode_DecodeUTF8(<const char *>data, <Py_ssize_t>size, NULL)
    except UnicodeDecodeError:
        raise InvalidPayload(fault) from None


cdef int add(Reader reader, bytes inflated) except -1:
    """Add to the message that is being inflated, judging it as it comes."""
    fault = codec_inflated(&reader.parser, <const uint8_t *>PyBytes_AS_STRING(inflated),
                           <size_t>PyBytes_GET_SIZE(inflated))
    if fault != CODEC_NO_FAULT:
        fail(fault)
    return 0


cdef object finish(Reader reader):
    """The message that came in parts."""
    cdef codec *parser = &reader.parser
    cdef codec_unfinished *message = parser.unfinished
    if message.compressed:
        add(reader, reader.inflater.end(codec_room(parser)))
    try:
        if not message.text:
            return PyBytes_FromStringAndSize(<const char *>message.data, <Py_ssize_t>message.size)
        if not codec_text_is_whole(parser):
            fail(CODEC_INFLATED_NOT_UTF8 if message.compressed else CODEC_NOT_UTF8)
        if message.more_than_ascii:
            return decoded(message.data, message.size, NOT_UTF8)
        out = PyUnicode_New(<Py_ssize_t>message.size, 127)
        if message.size:
            memcpy(PyUnicode_1BYTE_DATA(out), message.data, message.size)
        return out
    finally:
        codec_end_message(parser)


cdef object control(const codec_item *item):
    payload = PyBytes_FromStringAndSize(<const char *>item.control, <Py_ssize_t>item.size)
    if item.opcode == CODEC_PING:
        return Ping(payload)
    if item.opcode == CODEC_PONG:
        return Pong(payload)
    if item.size == 0:
        return ReceivedClose(1005, "")
    if item.size == 1:
        raise ProtocolError("a close frame of one byte")
    code = item.control[0] << 8 | item.control[1]
    if not sendable(code):
        raise ProtocolError("a close code that may not be sent")
    return ReceivedClose(code, decoded(item.control + 2, item.size - 2, "a close reason that is not UTF-8"))
