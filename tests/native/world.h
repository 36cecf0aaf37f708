// What the stress test drives: channels with shards and their members, as the hub has them, and connections.
#ifndef HUBBUB_WORLD_H
#define HUBBUB_WORLD_H

#include "peer.h"
#include "shard.h"
#include "turn.h"
#include "writers.h"

enum { SLOTS = 40, SHARDS = 4, TURN = 64 };

enum temper { FAST, SLOW, FROZEN, VANISHING, TEMPERS };
enum phase { FREE, OPEN, CLOSING, CLOSED };

typedef struct channel {
    uint64_t number;  // of the latest message
    unsigned shard_count, members[SHARDS];
    hb_shard *shards[SHARDS];
} channel;

// A place for one connection after the other.
typedef struct slot {
    enum phase phase;  // guarded by the hub's lock, with all that follows
    unsigned users;    // threads that use its outlet
    hb_outlet *outlet;
    hb_counts *counts;
    int ours, theirs;
    bool owned;  // ours, by the outlet
    enum temper temper;
    hb_member *members[CHANNELS];
    unsigned shard_of[CHANNELS];
    uint64_t attempts;  // direct writes
    peer peer;
} slot;

typedef struct actor {
    unsigned author;
    uint64_t state;            // of its random numbers
    uint64_t writes;           // numbers its direct writes
    uint64_t marks[CHANNELS];  // its latest broadcasts that exclude nobody
    hb_turn turn;              // whose end hands over what it posted
} actor;

extern pthread_mutex_t hub;  // as the hub's: guards channels and slots; taken before an outlet's
extern hb_notices *notices;
extern hb_writers *writers;
extern slot slots[SLOTS];

uint32_t chance(actor *actor, uint32_t below);

void world_begin(void);
void world_end(void);
bool open_connection(actor *actor, slot *slot);
// Closes it for good, unless somebody else is at it; `expected` NULL: whichever connection is there.
void close_connection(slot *slot, hb_outlet *expected);
void join(actor *actor, slot *slot, unsigned channel);
void leave(slot *slot, unsigned channel);
void write_direct(actor *actor, slot *slot, uint8_t tag);
void broadcast(actor *actor, unsigned channel);
void end_turn(actor *actor);
// After its peer has read to the end: accounts for every message, and frees the slot. False: it is still in use.
bool settle_account(slot *slot);

#endif
