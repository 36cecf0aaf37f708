// A part of one channel's members, and its mailbox: a log of messages that wait to go out to them.
//
// Who may touch what:
// - `lock` guards the log, the list of changes and the state. It is held for moments, never during a send.
// - The array of members and the batch belong to the runner while the state is HB_RUNNING, else to whoever holds `lock`.
//   Who joins or leaves meanwhile is noted in the list of changes, which the runner applies after its slice.
// - A member's cursor, the number of the first message that it has not been given, belongs to its outlet's lock, under
//   which it is also given messages. So the runner, `catch_up` before a write, and a leave give every message once and
//   in order, whoever comes first.
#ifndef HUBBUB_SHARD_H
#define HUBBUB_SHARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "frame.h"
#include "outlet.h"

struct hb_shard;
struct hb_writers;

typedef struct hb_member {
    atomic_uint_fast32_t references;
    hb_outlet *outlet;
    struct hb_shard *shard;
    uint64_t cursor;                     // guarded by the outlet's lock, and so are the links
    struct hb_member *next, *previous;   // in the outlet's list
    size_t index;                        // in the array, and whose the array is
    bool present, wanted, changing;      // in the array; to be in it; in the list of changes: the shard's lock
    struct hb_member *next_change;
} hb_member;

enum hb_state {
    HB_IDLE,     // nothing waits
    HB_POSTED,   // whoever promised it hands it over at the end of a turn
    HB_QUEUED,   // in the writers' queue
    HB_RUNNING,  // somebody writes to its members
};

// What a runner took from the log, and how far it is.
typedef struct hb_batch {
    uint64_t start, end;  // numbers of the first message, and of the one behind the last
    size_t count, capacity, size;
    hb_entry **entries;
    hb_frame **frames[HB_FORMS];  // for each form that a member has: the messages
    hb_frame *joined[HB_FORMS];   // and all of them in one string of bytes
    size_t excluded_count;        // ids that they exclude, all in all
    uint64_t *marks, mark_bits;   // a bit for each of those ids; ids that share a bit are told apart by the entries
    size_t position;              // members below this index are still to be served
    uint64_t began_ns;
} hb_batch;

typedef struct hb_shard {
    atomic_uint_fast32_t references;
    uint64_t channel;            // number of the channel, as backlogs name it
    struct hb_writers *writers;

    pthread_mutex_t lock;
    pthread_cond_t room;         // the log has become shorter, and somebody waits for that
    unsigned waiting_for_room;
    enum hb_state state;
    const void *promiser;        // who hands it over while it is HB_POSTED
    hb_entry **log;              // a ring
    size_t head, count, capacity, size;
    uint64_t start;              // number of the first message in it
    hb_member *changes;
    atomic_uint_fast64_t end;    // number that the next message gets; read without the lock

    hb_member **members;
    size_t member_count, member_capacity;
    hb_batch batch;
    uint64_t took_ns;  // for the batch that the latest slice has ended; 0 if it has ended none. The runner's, too

    struct hb_shard *next_queued;  // guarded by the writers' lock
} hb_shard;

hb_shard *hb_shard_new(struct hb_writers *writers, uint64_t channel);  // NULL without memory
hb_shard *hb_shard_keep(hb_shard *shard);
void hb_shard_drop(hb_shard *shard);

hb_member *hb_member_join(hb_shard *shard, hb_outlet *outlet);  // NULL without memory
// What was posted before still reaches the outlet. Afterwards the member is not to be used again.
void hb_member_leave(hb_member *member);
void hb_member_drop(hb_member *member);

bool hb_shard_has_room(hb_shard *shard, size_t size, size_t most, size_t most_size);
// Waits for that, so many seconds at most. Never with the interpreter's lock.
void hb_shard_wait_for_room(hb_shard *shard, size_t size, size_t most, size_t most_size, double seconds);

enum hb_posted {
    HB_NOT_POSTED,     // without memory
    HB_POST_WAITS,     // somebody comes for it already
    HB_POST_PROMISED,  // it is the caller's to hand the shard over at the end of its turn
    HB_POST_WAKES,     // it is the caller's to queue the shard now
};

// Appends a message and keeps a reference to it. `promiser` stands for the turn at whose end the caller will hand the shard
// over; NULL: it has none. Nobody relies on another's promise, whose turn may be long, or whose loop may be gone. It is
// compared and never followed; no other promiser may get its address while the shard is HB_POSTED. So the binding keeps
// a loop that has promised, and a hb_turn lives until its end, which claims what it promised.
enum hb_posted hb_shard_post(hb_shard *shard, hb_entry *entry, const void *promiser);

// Gives an outlet what waits for it in mailboxes, so that what follows cannot overtake it. With the outlet's lock held.
void hb_outlet_catch_up(hb_outlet *outlet);

// One slice of the shard's sends, by whoever made it HB_RUNNING. Returns whether more is to be done: then it is the
// caller's to queue it, and the state is HB_QUEUED already; else it is HB_IDLE.
bool hb_shard_run(hb_shard *shard);
// Makes a shard HB_RUNNING if it was in that state.
bool hb_shard_claim(hb_shard *shard, enum hb_state from);

#endif
