// What is counted, without a lock: each count is exact, and a snapshot of several is of nearly one moment.
#ifndef HUBBUB_COUNTS_H
#define HUBBUB_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

// Why messages were dropped. The names that Python shows for them are in _fanout.pyx.
enum hb_cause { HB_KEPT, HB_OVERFLOW, HB_BUDGET, HB_CLOSED, HB_ERROR, HB_CAUSES };

typedef struct hb_counts {
    atomic_uint_fast32_t references;
    atomic_uint_fast64_t broadcasts, deliveries, writes, bytes, sends, drops[HB_CAUSES];
} hb_counts;

hb_counts *hb_counts_new(void);  // one reference; NULL without memory
hb_counts *hb_counts_keep(hb_counts *counts);
void hb_counts_drop(hb_counts *counts);

static inline void hb_count(atomic_uint_fast64_t *count, uint64_t more) {
    atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

// What one thread counts during a slice of sends, to be added at its end.
typedef struct hb_tally {
    uint64_t deliveries, sends, bytes;
} hb_tally;

static inline void hb_counts_add(hb_counts *counts, hb_tally tally) {
    hb_count(&counts->deliveries, tally.deliveries);
    hb_count(&counts->sends, tally.sends);
    hb_count(&counts->bytes, tally.bytes);
}

#endif
