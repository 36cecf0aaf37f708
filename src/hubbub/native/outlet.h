// The write side of one TCP or Unix socket: where bytes leave, and the backlog of those that could not yet.
//
// Locks, in the order in which they may be taken: an outlet's, then a shard's, or the poller's, or the notices'. No thread
// holds two outlets' or two shards' locks, and none waits for the interpreter's lock while it holds one of these.
//
// An outlet is detached, under its lock, before its descriptor is closed, so that no number that was given to somebody else
// since is ever written to. One that owns its descriptor closes it in that moment. Else it is the event loop's transport's,
// and the outlet is detached when the loop says that the connection is lost, which it does before it closes the descriptor,
// and, for loops that are closed with connections open, when that begins.
// `detach` comes before the last `drop`: the notices' list of outlets to detach names it without a reference.
#ifndef HUBBUB_OUTLET_H
#define HUBBUB_OUTLET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "backlog.h"
#include "counts.h"
#include "notices.h"

struct hb_member;

// What the event loop is to be told of an outlet: bits of `notice`.
enum { HB_CUT = 1, HB_DROPPED = 2, HB_FLUSHED = 4, HB_DRAINED = 8 };

// Why it was cut; the names that Python shows for them are in _fanout.pyx.
enum hb_cut { HB_NOT_CUT, HB_CUT_OVERFLOW, HB_CUT_BUDGET, HB_CUT_STALLED, HB_CUT_ERROR };

typedef struct hb_outlet {
    atomic_uint_fast32_t references;
    pthread_mutex_t lock;  // guards what follows, up to the next blank line
    int fd;                // -1 from `detach` on
    bool owned;            // the descriptor: `detach` closes it
    atomic_bool open;      // accepts frames; changed under the lock, read without it as well
    bool last;             // the last frame has been put
    bool telling;          // the loop wants to hear when the backlog is empty
    bool lacking;          // under HB_DROP_REST: a channel's message was dropped, so those that follow are, until `go_on`
    uint8_t form, policy, notice, cut;
    int queued;     // bytes that the kernel kept for the peer at the poller's latest look
    uint32_t lost;  // dropped messages that the loop has not been told of
    hb_backlog *backlog;  // made when first needed, gone when drained
    void *why;  // of the `finish` that ended it, the binding's: NULL while it is open, or was cut
    struct hb_member *members;
    hb_counts *counts;

    atomic_bool refused;              // the kernel had no memory for it: it waits for the poller's next look
    atomic_size_t buffered;           // bytes of the backlog, to be read without the lock
    atomic_uint_fast64_t progress_ms;  // when the kernel, or the peer of the kernel, last took something

    uint32_t forks;  // of the process before it: with more of them it is the parent's
    uint64_t id;  // of no other outlet of the process, ever
    hb_bounds bounds;
    hb_notices *notices;
    _Atomic(void *) owner;  // the binding's, which says what guards it; not ours to follow

    bool noticed, attached;  // these are guarded by the notices' lock
    struct hb_outlet *next_notice, *next_attached, *previous_attached;

    bool known;  // these three are guarded by the poller's lock: in its list of the outlets that epoll knows
    struct hb_outlet *next_known, *previous_known;
    struct hb_outlet *next_due;  // the poller's thread's own
} hb_outlet;

// For a connected, non-blocking stream socket, to be closed by `detach` if `owned`. NULL without memory.
hb_outlet *hb_outlet_new(int fd, bool owned, hb_notices *notices, hb_counts *counts, hb_bounds bounds, void *owner);
// Whether this process made it, rather than the parent before a fork, whose connection must not feel what a child does.
bool hb_outlet_ours(const hb_outlet *outlet);
// Closes a child's copy of the parent's descriptor, and touches nothing else: its lock may have been held in the fork.
void hb_outlet_abandon(hb_outlet *outlet);
void hb_outlet_after_fork(void);
hb_outlet *hb_outlet_keep(hb_outlet *outlet);
void hb_outlet_drop(hb_outlet *outlet);

// All that follow are called with the outlet's lock held.

// Frames are accepted from here on; `greeting`, which may be NULL, goes out first, whatever waits.
void hb_outlet_start(hb_outlet *outlet, unsigned form, hb_frame *greeting);
// Sends messages of a channel, or HB_DIRECT ones. `joined` is all of them in one string of bytes, or NULL.
// `tally` grows by what was accepted, and by the calls to the kernel.
void hb_outlet_deliver(hb_outlet *outlet, hb_frame *const *frames, size_t count, hb_frame *joined, uint64_t channel,
                       hb_tally *tally);
// Sends one frame straight from the caller's bytes, and copies them only if they have to wait. Whether it was accepted.
bool hb_outlet_write(hb_outlet *outlet, const void *data, size_t size, uint64_t channel);
// Sends a ping or pong. Of those that wait only the latest does. Whether it was accepted.
bool hb_outlet_control(hb_outlet *outlet, const void *data, size_t size);
// The program knows what was dropped: messages of channels are sent again.
void hb_outlet_go_on(hb_outlet *outlet);
// The last frame, after what waits; then HB_FLUSHED. False if the outlet was finished or cut before, else `why` is kept.
bool hb_outlet_finish(hb_outlet *outlet, const void *data, size_t size, void *why);
// The connection is gone: nothing is written from here on.
void hb_outlet_detach(hb_outlet *outlet);
// What is left after a flush: nothing; something; or something for which the kernel has no memory just now.
enum hb_flushed { HB_FLUSH_DONE, HB_FLUSH_MORE, HB_FLUSH_REFUSED };
// Gives the kernel some of what waits, in one send. For the poller.
enum hb_flushed hb_outlet_flush(hb_outlet *outlet);
// Looks what the kernel keeps for the peer: that it gets less is progress, though the kernel takes no more for a while: it
// does so only when a third of its buffer is free, or most of it. For the poller.
void hb_outlet_watch(hb_outlet *outlet);
void hb_outlet_cut(hb_outlet *outlet, enum hb_cut cause);
// There is no memory to give it so many messages: they are counted, and it is cut, for what follows would overtake them.
void hb_outlet_lose(hb_outlet *outlet, size_t messages);

uint64_t hb_now_ms(void);  // monotonic

#endif
