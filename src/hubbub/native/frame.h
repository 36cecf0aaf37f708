// Shared bytes: one encoded WebSocket frame, or several joined, held by whoever still has to send it.
#ifndef HUBBUB_FRAME_H
#define HUBBUB_FRAME_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hb_frame {
    atomic_uint_fast32_t references;
    size_t size;  // bytes
    unsigned char bytes[];
} hb_frame;

// A copy of the bytes with one reference; NULL without memory. With data == NULL the bytes are the caller's to fill.
hb_frame *hb_frame_new(const void *data, size_t size);
hb_frame *hb_frame_keep(hb_frame *frame);
void hb_frame_drop(hb_frame *frame);  // NULL is fine

// The forms in which a message can go out: plain, or compressed for one of the window sizes of permessage-deflate.
enum { HB_PLAIN = 0, HB_FORMS = 8 };  // form n > 0 is for n + 8 window bits

// A message in mailboxes: made once, whole before it is posted, and shared by all shards of its channel.
typedef struct hb_entry {
    atomic_uint_fast32_t references;
    hb_frame *forms[HB_FORMS];  // [HB_PLAIN] is always there
    size_t excluded_count;
    uint64_t excluded[];  // ids of outlets that are not to get it, ascending
} hb_entry;

// Takes over the reference to `plain`; NULL without memory, and then the reference is dropped. The ids come in any order.
hb_entry *hb_entry_new(hb_frame *plain, const uint64_t *excluded, size_t excluded_count);
hb_entry *hb_entry_keep(hb_entry *entry);
void hb_entry_drop(hb_entry *entry);

static inline hb_frame *hb_entry_frame(const hb_entry *entry, unsigned form) {
    return entry->forms[form] ? entry->forms[form] : entry->forms[HB_PLAIN];
}

static inline int hb_entry_excludes(const hb_entry *entry, uint64_t id) {
    size_t low = 0, high = entry->excluded_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry->excluded[middle] < id) low = middle + 1;
        else high = middle;
    }
    return low < entry->excluded_count && entry->excluded[low] == id;
}

#endif
