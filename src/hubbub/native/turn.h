// What is posted during one turn of a thread that reads sockets: handed over together at its end, so that messages for
// the same members leave together.
#ifndef HUBBUB_TURN_H
#define HUBBUB_TURN_H

#include <stdbool.h>
#include <stddef.h>

struct hb_shard;

// Belongs to one thread at a time. All zeros is a turn that has not begun.
typedef struct hb_turn {
    struct hb_shard **shards;
    size_t count, capacity;
    size_t left;  // sends that it still makes itself
} hb_turn;

// The turn that this thread is in; NULL outside of one.
hb_turn *hb_turn_now(void);
void hb_turn_begin(hb_turn *turn);
// Hands over what was promised meanwhile. Not with the interpreter's lock if there is any of that.
void hb_turn_hand_over(hb_turn *turn);
void hb_turn_end(hb_turn *turn);  // the same, and the turn is over
// Promises to hand over a shard that was posted to. Without memory it is done at once.
void hb_turn_promise(hb_turn *turn, struct hb_shard *shard);
// In a child process after a fork, which may have happened in a turn: its end and what it promised are the parent's.
void hb_turn_after_fork(void);
void hb_turn_free(hb_turn *turn);  // what it holds, not the struct itself

#endif
