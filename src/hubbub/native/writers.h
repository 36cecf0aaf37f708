// A pool of threads that write: each takes a shard from the queue, gives one slice of it, and puts it at the queue's end.
// They never hold the interpreter's lock.
#ifndef HUBBUB_WRITERS_H
#define HUBBUB_WRITERS_H

#include <stdbool.h>
#include <stddef.h>

#include "counts.h"

struct hb_shard;
typedef struct hb_writers hb_writers;

// `least` writers live once there was work, `most` while shards wait and all others are busy. NULL without memory.
hb_writers *hb_writers_new(unsigned least, unsigned most, hb_counts *counts);
hb_writers *hb_writers_keep(hb_writers *writers);
void hb_writers_drop(hb_writers *writers);
// The writers finish their slices and end; returns when they have. What waits is not written any more.
void hb_writers_stop(hb_writers *writers);
// In a child process after a fork, where the threads do not exist: begin anew.
void hb_writers_after_fork(hb_writers *writers);

// A shard that is HB_QUEUED goes to the queue's end.
void hb_writers_queue(hb_writers *writers, struct hb_shard *shard);
// A shard that was promised in this turn: a small one of at most so many members is written at once, another is queued.
// Returns how many members were written to.
size_t hb_writers_hand_over(hb_writers *writers, struct hb_shard *shard, size_t most);

typedef struct hb_writers_state {
    unsigned size, busy;   // writers that live, and those at work
    long waiting;          // messages in mailboxes
    uint64_t failures;     // writers that could not be started
} hb_writers_state;

hb_writers_state hb_writers_look(hb_writers *writers);
hb_counts *hb_writers_counts(hb_writers *writers);
void hb_writers_waiting(hb_writers *writers, long more);  // so many more messages wait in mailboxes

#endif
