"""What _fanout.pyx uses of the C core; the headers explain it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_trylock(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)


cdef extern from "encode.h" nogil:
    size_t encode_head_size(uint64_t)
    void encode_head(unsigned char *, unsigned char, uint64_t)


cdef extern from "frame.h" nogil:
    ctypedef struct hb_frame:
        size_t size
        unsigned char *bytes
    ctypedef struct hb_entry:
        hb_frame *forms[8]
    hb_frame *hb_frame_new(const void *, size_t)
    void hb_frame_drop(hb_frame *)
    hb_entry *hb_entry_new(hb_frame *, const uint64_t *, size_t)
    void hb_entry_drop(hb_entry *)


cdef extern from "backlog.h" nogil:
    ctypedef struct hb_bounds:
        size_t backlog
        size_t total_backlog
        uint64_t stall_ms
    enum: HB_DIRECT, HB_CONTROL
    size_t hb_total_backlog()
    void hb_total_add(Py_ssize_t)
    bint hb_total_claim(size_t, size_t, size_t)


cdef extern from "counts.h" nogil:
    enum: HB_CAUSES
    ctypedef struct hb_counts:
        uint64_t broadcasts, deliveries, writes, bytes, sends
        uint64_t drops[5]
    hb_counts *hb_counts_new()
    hb_counts *hb_counts_keep(hb_counts *)
    void hb_counts_drop(hb_counts *)
    void hb_count(uint64_t *, uint64_t)


cdef extern from "notices.h" nogil:
    ctypedef struct hb_notices:
        int fd
    hb_notices *hb_notices_new()
    void hb_notices_drop(hb_notices *)
    void hb_notices_close(hb_notices *)
    hb_outlet *hb_notices_first(hb_notices *)
    hb_outlet *hb_notices_take(hb_notices *)


cdef extern from "outlet.h" nogil:
    enum: HB_CUT, HB_DROPPED, HB_FLUSHED, HB_DRAINED
    ctypedef struct hb_outlet:
        pthread_mutex_t lock
        bint open, telling, lacking
        uint8_t form, policy, notice, cut
        uint32_t lost
        void *backlog
        void *why
        hb_member *members
        hb_counts *counts
        size_t buffered
        uint64_t id
        void *owner
    hb_outlet *hb_outlet_new(int, bint, hb_notices *, hb_counts *, hb_bounds, void *)
    void hb_outlet_drop(hb_outlet *)
    void hb_outlet_start(hb_outlet *, unsigned, hb_frame *)
    bint hb_outlet_write(hb_outlet *, const void *, size_t, uint64_t)
    bint hb_outlet_control(hb_outlet *, const void *, size_t)
    void hb_outlet_go_on(hb_outlet *)
    bint hb_outlet_finish(hb_outlet *, const void *, size_t, void *)
    void hb_outlet_detach(hb_outlet *)
    bint hb_outlet_ours(const hb_outlet *)
    void hb_outlet_abandon(hb_outlet *)
    void hb_outlet_after_fork()


cdef extern from "poller.h" nogil:
    void hb_poller_after_fork()


cdef extern from "writers.h" nogil:
    ctypedef struct hb_writers:
        pass
    ctypedef struct hb_writers_state:
        unsigned size, busy
        long waiting
        uint64_t failures
    hb_writers *hb_writers_new(unsigned, unsigned, hb_counts *)
    void hb_writers_drop(hb_writers *)
    void hb_writers_stop(hb_writers *)
    void hb_writers_after_fork(hb_writers *)
    void hb_writers_queue(hb_writers *, hb_shard *)
    size_t hb_writers_hand_over(hb_writers *, hb_shard *, size_t)
    hb_writers_state hb_writers_look(hb_writers *)
    hb_counts *hb_writers_counts(hb_writers *)


cdef extern from "shard.h" nogil:
    ctypedef struct hb_member:
        pass
    ctypedef struct hb_shard:
        pass
    hb_shard *hb_shard_new(hb_writers *, uint64_t)
    void hb_shard_drop(hb_shard *)
    hb_member *hb_member_join(hb_shard *, hb_outlet *)
    void hb_member_leave(hb_member *)
    bint hb_shard_has_room(hb_shard *, size_t, size_t, size_t)
    void hb_shard_wait_for_room(hb_shard *, size_t, size_t, size_t, double)
    enum hb_posted: HB_NOT_POSTED, HB_POST_WAITS, HB_POST_PROMISED, HB_POST_WAKES
    hb_posted hb_shard_post(hb_shard *, hb_entry *, const void *)
    void hb_outlet_catch_up(hb_outlet *)


cdef extern from "turn.h" nogil:
    ctypedef struct hb_turn:
        size_t count
    hb_turn *hb_turn_now()
    void hb_turn_begin(hb_turn *)
    void hb_turn_hand_over(hb_turn *)
    void hb_turn_end(hb_turn *)
    void hb_turn_promise(hb_turn *, hb_shard *)
    void hb_turn_after_fork()
    void hb_turn_free(hb_turn *)


cdef class Turn:
    """For the binding that reads sockets: what is posted while it does leaves together."""

    cdef hb_turn c

    cdef void begin(self) noexcept
    cdef void hand_over(self) noexcept
    cdef void end(self) noexcept
