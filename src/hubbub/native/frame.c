#include "frame.h"

#include <stdlib.h>
#include <string.h>

hb_frame *hb_frame_new(const void *data, size_t size) {
    if (size > SIZE_MAX - sizeof(hb_frame)) return NULL;
    hb_frame *frame = malloc(sizeof *frame + size);
    if (!frame) return NULL;
    atomic_init(&frame->references, 1);
    frame->size = size;
    if (data && size) memcpy(frame->bytes, data, size);
    return frame;
}

hb_frame *hb_frame_keep(hb_frame *frame) {
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void hb_frame_drop(hb_frame *frame) {
    // Whoever drops last must see what the others did with it before they dropped theirs.
    if (frame && atomic_fetch_sub_explicit(&frame->references, 1, memory_order_acq_rel) == 1) free(frame);
}

static int ascending(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

hb_entry *hb_entry_new(hb_frame *plain, const uint64_t *excluded, size_t excluded_count) {
    hb_entry *entry = calloc(1, sizeof *entry + excluded_count * sizeof *excluded);
    if (!entry) {
        hb_frame_drop(plain);
        return NULL;
    }
    atomic_init(&entry->references, 1);
    entry->forms[HB_PLAIN] = plain;
    entry->excluded_count = excluded_count;
    if (excluded_count) {
        memcpy(entry->excluded, excluded, excluded_count * sizeof *excluded);
        qsort(entry->excluded, excluded_count, sizeof *excluded, ascending);
    }
    return entry;
}

hb_entry *hb_entry_keep(hb_entry *entry) {
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    return entry;
}

void hb_entry_drop(hb_entry *entry) {
    if (!entry || atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) != 1) return;
    for (size_t form = 0; form < HB_FORMS; form++) hb_frame_drop(entry->forms[form]);
    free(entry);
}
