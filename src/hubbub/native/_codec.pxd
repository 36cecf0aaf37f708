"""The compiled Reader, for bindings that read into it, and what a Frame holds, for those that send it."""

from libc.stdint cimport int64_t, uint8_t


cdef extern from "codec.h":
    struct codec_unfinished:
        uint8_t *data
        size_t size
        bint text, compressed, more_than_ascii

    struct codec:
        int64_t max_message_size, max_fragments
        codec_unfinished *unfinished
        uint8_t head_size
        bint deflates


cdef class Encoded:
    cdef readonly object opcode
    cdef readonly bytes payload
    cdef readonly bytes _wire
    cdef readonly dict _deflated


cdef class Reader:
    cdef codec parser
    cdef object inflater
    cdef bint reading

    cdef object take(self, const uint8_t *data, size_t size, size_t *at)
    cdef bint begun(self) noexcept
