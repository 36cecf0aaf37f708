# Part of _fanout.pyx: a broadcast as most are, in one call.

cdef object acquire = the_lock.acquire, release = the_lock.release


cdef class Addressee:
    """What a broadcast looks at in a channel: the base of `hub.channel.Channel`."""

    cdef readonly object id
    cdef public Py_ssize_t count
    cdef public object forms
    cdef public list shards

    def __init__(self, id):
        self.id = id
        self.shards = []


def broadcast(dict newest, id, message):
    cdef const char *payload
    cdef Py_ssize_t size
    cdef bint text = type(message) is str
    if text:
        payload = PyUnicode_AsUTF8AndSize(message, &size)
    elif type(message) is bytes:
        payload = PyBytes_AS_STRING(message)
        size = PyBytes_GET_SIZE(message)
    else:
        return None
    if size > HELD or waiting or inside():
        return None
    found = newest.get(hash(id))
    if found is None:
        return 0
    cdef Addressee channel = found
    if channel.forms is not None or not (channel.id is id or channel.id == id):
        return None
    cdef hb_entry *c = encoded(0x81 if text else 0x82, payload, <size_t>size)
    acquire()
    try:
        return post_to_all(channel, c)
    finally:
        release()
        hb_entry_drop(c)
        if waiting:
            carry_out()


cdef hb_entry *encoded(unsigned char first, const char *payload, size_t size) except NULL:
    cdef size_t head = encode_head_size(size)
    cdef hb_frame *frame = hb_frame_new(NULL, head + size)
    if frame == NULL:
        raise MemoryError
    encode_head(frame.bytes, first, size)
    memcpy(frame.bytes + head, payload, size)
    cdef hb_entry *c = hb_entry_new(frame, NULL, 0)
    if c == NULL:
        raise MemoryError
    return c


cdef object post_to_all(Addressee channel, hb_entry *c):
    """With the lock held. How many members that were; None: not all mailboxes have room, or not all are compiled."""
    cdef list shards = channel.shards
    cdef Shard last = None
    for shard in shards:
        if type(shard) is not Shard or not (<Shard>shard).fits(c.forms[0].size):
            return None
    for shard in shards:
        last = <Shard>shard
        if last.members:
            last.append(c)
    if channel.count:
        hb_count(&hb_writers_counts(last.writers.c).broadcasts, 1)
    return channel.count
