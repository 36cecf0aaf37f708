# cython: language_level=3, freethreading_compatible=True
"""The compiled codec: the twin of `hubbub.wire.reader`."""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

__all__ = ["mask"]


cdef extern from "mask.h":
    uint8_t mask_bytes(uint8_t *out, const uint8_t *data, size_t size, const uint8_t *key) nogil


def mask(data, bytes key not None):
    """The twin of `hubbub.wire.frames.mask`."""
    if len(key) != 4:
        raise ValueError(f"a mask has four bytes, not {len(key)}")
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        out = PyBytes_FromStringAndSize(NULL, view.len)
        mask_bytes(<uint8_t *>PyBytes_AS_STRING(out), <const uint8_t *>view.buf, <size_t>view.len,
                   <const uint8_t *>PyBytes_AS_STRING(key))
    finally:
        PyBuffer_Release(&view)
    return out
