#include "turn.h"

#include <stdlib.h>

#include "shard.h"
#include "writers.h"

enum { SENDS = 512 };  // of a turn, before the loop goes on: about two milliseconds. Writers do the rest

static _Thread_local hb_turn *now;

hb_turn *hb_turn_now(void) { return now; }

void hb_turn_begin(hb_turn *turn) {
    now = turn;
    turn->left = SENDS;
}

void hb_turn_hand_over(hb_turn *turn) {
    for (size_t i = 0; i < turn->count; i++) {
        turn->left -= hb_writers_hand_over(turn->shards[i]->writers, turn->shards[i], turn->left);
        hb_shard_drop(turn->shards[i]);
    }
    turn->count = 0;
}

void hb_turn_end(hb_turn *turn) {
    now = NULL;
    hb_turn_hand_over(turn);
}

void hb_turn_promise(hb_turn *turn, hb_shard *shard) {
    if (turn->count == turn->capacity) {
        size_t capacity = turn->capacity ? turn->capacity * 2 : 64;
        hb_shard **shards = realloc(turn->shards, capacity * sizeof *shards);
        if (!shards) {
            hb_writers_hand_over(shard->writers, shard, SENDS);
            return;
        }
        turn->shards = shards;
        turn->capacity = capacity;
    }
    turn->shards[turn->count++] = hb_shard_keep(shard);
}

void hb_turn_after_fork(void) {
    if (now) now->count = 0;
    now = NULL;
}

void hb_turn_free(hb_turn *turn) { free(turn->shards); }
