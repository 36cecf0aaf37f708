// What a runner gives to the members of a shard: messages joined once for each form, in slices.
#ifndef HUBBUB_BATCH_H
#define HUBBUB_BATCH_H

#include "shard.h"

enum {
    HB_BATCH_SIZE = 256 * 1024,       // bytes joined at most: a socket buffer's worth
    HB_SLICE_SENDS = 256,             // sends of one slice at most: about half a millisecond
    HB_SLICE_SIZE = 2 * 1024 * 1024,  // bytes of one slice: large messages make smaller slices
};

bool hb_batch_add(hb_batch *batch, hb_entry *entry);  // keeps a reference; false without memory
void hb_batch_end(hb_batch *batch);                   // forgets the messages, keeps the arrays
void hb_batch_free(hb_batch *batch);                  // frees the arrays
// One slice: the next members, from the last one to the first. `position` tells how far it is.
void hb_batch_serve(hb_batch *batch, hb_member **members, uint64_t channel, hb_counts *counts);

#endif
