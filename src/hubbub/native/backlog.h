// The backlog of one socket, and what its overflow policy does when it passes its limit. No I/O, no lock: its outlet's
// lock guards it. The twin of hub/backlog.py, with one thing more: the first frame may have been sent in part, and then
// no policy may drop it, for a frame is never cut.
#ifndef HUBBUB_BACKLOG_H
#define HUBBUB_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "counts.h"
#include "frame.h"

enum hb_policy { HB_DISCONNECT, HB_DROP_OLDEST, HB_DROP_NEWEST, HB_DROP_REST, HB_LATEST };

// What a frame belongs to: a channel's number, or one of these.
#define HB_DIRECT ((uint64_t)0)    // written to the socket itself
#define HB_CONTROL UINT64_MAX      // a control frame: never dropped

typedef struct hb_waiting {
    hb_frame *frame;
    uint64_t channel;
} hb_waiting;

typedef struct hb_backlog {
    hb_waiting *ring;
    uint32_t head, count, capacity;  // capacity is a power of two
    size_t sent;                     // bytes of the first frame that the kernel has
    size_t size;                     // bytes that wait
} hb_backlog;

typedef struct hb_bounds {
    size_t backlog;        // bytes of one backlog, besides a single frame that is larger by itself
    size_t total_backlog;  // bytes of all backlogs of the process; each may have at most as many as stay free beside it
    uint64_t stall_ms;     // longest time without progress
} hb_bounds;

typedef struct hb_outcome {
    bool accepted, disconnect;
    enum hb_cause cause;  // HB_KEPT if nothing was dropped
    size_t dropped;       // messages dropped to make room, the new one included if it was not accepted
} hb_outcome;

// The bytes that wait for all sockets of the process, those of outlets in Python included.
size_t hb_total_backlog(void);
void hb_total_add(ptrdiff_t difference);
// Adds `size` if a socket of whom `own` bytes wait may have so many more: as many as stay free beside it.
bool hb_total_claim(size_t own, size_t size, size_t limit);

hb_backlog *hb_backlog_new(void);  // NULL without memory
// Forgets everything and frees it. Returns how many messages that were, control frames not counted.
size_t hb_backlog_free(hb_backlog *backlog);

// Lets a frame wait (and keeps a reference to it), or does as the policy says. Without memory: disconnect, HB_ERROR.
hb_outcome hb_backlog_add(hb_backlog *backlog, hb_frame *frame, uint64_t channel, enum hb_policy policy,
                          const hb_bounds *bounds);
// Lets the rest of a frame wait of which `sent` bytes have gone. Only for an empty backlog. HB_BUDGET: too much waits for
// others; HB_ERROR: without memory.
enum hb_cause hb_backlog_begin(hb_backlog *backlog, hb_frame *frame, uint64_t channel, size_t sent,
                               const hb_bounds *bounds);
// Whether so many bytes more might wait for it (NULL: nothing does yet), as far as all sockets together are concerned.
bool hb_backlog_affordable(const hb_backlog *backlog, size_t size, const hb_bounds *bounds);
// Lets a ping or pong wait in place of one that waits already: RFC 6455, section 5.5.3. False without memory.
bool hb_backlog_put_control(hb_backlog *backlog, hb_frame *frame);

// The next bytes to send: at most `most` pieces and about `most_bytes`. Returns the number of pieces.
int hb_backlog_pieces(const hb_backlog *backlog, struct iovec *pieces, int most, size_t most_bytes);
void hb_backlog_taken(hb_backlog *backlog, size_t bytes);  // the kernel has so many more

#endif
