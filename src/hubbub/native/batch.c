#include "batch.h"

#include <stdlib.h>
#include <string.h>

bool hb_batch_add(hb_batch *batch, hb_entry *entry) {
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity ? batch->capacity * 2 : 8;
        hb_entry **entries = realloc(batch->entries, capacity * sizeof *entries);
        if (!entries) return false;
        batch->entries = entries;
        batch->capacity = capacity;
    }
    batch->excluded_count += entry->excluded_count;
    batch->entries[batch->count++] = hb_entry_keep(entry);
    return true;
}

void hb_batch_end(hb_batch *batch) {
    for (size_t form = 0; form < HB_FORMS; form++) {
        hb_frame_drop(batch->joined[form]);
        free(batch->frames[form]);
        batch->joined[form] = NULL;
        batch->frames[form] = NULL;
    }
    for (size_t i = 0; i < batch->count; i++) hb_entry_drop(batch->entries[i]);
    free(batch->marks);
    batch->marks = NULL;
    batch->count = batch->size = batch->excluded_count = 0;
}

void hb_batch_free(hb_batch *batch) {
    free(batch->entries);
    batch->entries = NULL;
    batch->capacity = 0;
}

// The messages in that form, and joined if there is memory for it. False: without memory for anything.
static bool prepare(hb_batch *batch, unsigned form) {
    hb_frame **frames = malloc(batch->count * sizeof *frames);
    if (!frames) return false;
    size_t size = 0;
    for (size_t i = 0; i < batch->count; i++) {
        frames[i] = hb_entry_frame(batch->entries[i], form);  // the entry has the reference
        size += frames[i]->size;
    }
    batch->frames[form] = frames;
    if (batch->count == 1) {
        batch->joined[form] = hb_frame_keep(frames[0]);
    } else if ((batch->joined[form] = hb_frame_new(NULL, size))) {
        unsigned char *to = batch->joined[form]->bytes;
        for (size_t i = 0; i < batch->count; to += frames[i++]->size) memcpy(to, frames[i]->bytes, frames[i]->size);
    }
    return true;
}

// Marks who is excluded from anything, so that asking for a member costs the same however many messages and ids there are.
// Ids are numbers in a row, so with eight bits for each of them hardly two share one. Without memory everybody is looked up.
static void mark_excluded(hb_batch *batch) {
    uint64_t bits = 64;
    while (bits < batch->excluded_count * 8) bits *= 2;
    batch->marks = calloc(bits / 64, sizeof *batch->marks);
    if (!batch->marks) return;
    batch->mark_bits = bits;
    for (size_t i = 0; i < batch->count; i++) {
        const hb_entry *entry = batch->entries[i];
        for (size_t n = 0; n < entry->excluded_count; n++) {
            uint64_t bit = entry->excluded[n] & (bits - 1);
            batch->marks[bit / 64] |= UINT64_C(1) << bit % 64;
        }
    }
}

static bool excluded(const hb_batch *batch, uint64_t id) {
    if (batch->marks) {
        uint64_t bit = id & (batch->mark_bits - 1);
        if (!(batch->marks[bit / 64] >> bit % 64 & 1)) return false;
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (hb_entry_excludes(batch->entries[i], id)) return true;
    }
    return false;
}

// The messages that a member is still to be given, put into `some` unless that is NULL. Returns how many.
static size_t pending(const hb_batch *batch, const hb_member *member, hb_frame **some) {
    const hb_outlet *outlet = member->outlet;
    size_t count = 0;
    for (size_t i = member->cursor > batch->start ? (size_t)(member->cursor - batch->start) : 0; i < batch->count; i++) {
        if (hb_entry_excludes(batch->entries[i], outlet->id)) continue;
        if (some) some[count] = batch->frames[outlet->form][i];
        count++;
    }
    return count;
}

// To a member that has been given a part already, or that some messages exclude. With its outlet's lock held.
static void serve_some(hb_batch *batch, hb_member *member, uint64_t channel, hb_tally *tally) {
    hb_frame **some = malloc(batch->count * sizeof *some);
    size_t count = pending(batch, member, some);
    if (!some) hb_outlet_lose(member->outlet, count);
    else if (count) hb_outlet_deliver(member->outlet, some, count, NULL, channel, tally);
    free(some);
}

static void serve(hb_batch *batch, hb_member *member, uint64_t channel, hb_tally *tally) {
    hb_outlet *outlet = member->outlet;
    pthread_mutex_lock(&outlet->lock);
    unsigned form = outlet->form;
    if (member->cursor >= batch->end) {
        // given before, or gone
    } else if (!batch->frames[form] && !prepare(batch, form)) {
        hb_outlet_lose(outlet, pending(batch, member, NULL));
    } else if (member->cursor > batch->start || (batch->excluded_count && excluded(batch, outlet->id))) {
        serve_some(batch, member, channel, tally);
    } else {
        hb_outlet_deliver(outlet, batch->frames[form], batch->count, batch->joined[form], channel, tally);
    }
    if (member->cursor < batch->end) member->cursor = batch->end;
    pthread_mutex_unlock(&outlet->lock);
}

// Members lie all over the memory, and each send fills the caches with the kernel's own: have what the next ones need
// fetched during the sends before them, first the member, then the outlet that it names.
static inline void foresee(hb_member **members, size_t index) {
    if (index < 4) return;
    __builtin_prefetch(members[index - 4], 1);
    const char *outlet = (const char *)members[index - 2]->outlet;
    __builtin_prefetch(outlet, 1);
    __builtin_prefetch(outlet + 64, 1);
}

void hb_batch_serve(hb_batch *batch, hb_member **members, uint64_t channel, hb_counts *counts) {
    hb_tally tally = {0};
    size_t most = HB_SLICE_SIZE / (batch->size ? batch->size : 1);
    if (most > HB_SLICE_SENDS) most = HB_SLICE_SENDS;
    if (most < 1) most = 1;
    if (batch->excluded_count && !batch->marks) mark_excluded(batch);
    for (size_t i = 0; i < most && batch->position > 0; i++) {
        size_t index = --batch->position;
        foresee(members, index);
        serve(batch, members[index], channel, &tally);
    }
    hb_counts_add(counts, tally);
}
