#include "counts.h"

#include <stdlib.h>

hb_counts *hb_counts_new(void) {
    hb_counts *counts = calloc(1, sizeof *counts);
    if (counts) atomic_init(&counts->references, 1);
    return counts;
}

hb_counts *hb_counts_keep(hb_counts *counts) {
    atomic_fetch_add_explicit(&counts->references, 1, memory_order_relaxed);
    return counts;
}

void hb_counts_drop(hb_counts *counts) {
    if (counts && atomic_fetch_sub_explicit(&counts->references, 1, memory_order_acq_rel) == 1) free(counts);
}
