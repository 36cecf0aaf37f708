// What outlets have to tell the event loop that owns them: a list and an eventfd, which is written to only when the list
// was empty. Any thread adds; the loop takes.
#ifndef HUBBUB_NOTICES_H
#define HUBBUB_NOTICES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct hb_outlet;

typedef struct hb_notices {
    atomic_uint_fast32_t references;
    pthread_mutex_t lock;  // guards what follows, and the links of the outlets in the lists
    int fd;                // readable while the list is not empty
    bool closed;           // the loop is gone: nothing is added any more
    struct hb_outlet *first, *last;
    struct hb_outlet *attached;  // every outlet of the loop that is not detached
} hb_notices;

hb_notices *hb_notices_new(void);  // one reference; NULL with errno
hb_notices *hb_notices_keep(hb_notices *notices);
void hb_notices_drop(hb_notices *notices);
// The loop is about to be closed, and with it the descriptors of its connections: detaches all outlets.
void hb_notices_close(hb_notices *notices);

// An outlet that is not detached, with a reference for the caller; NULL if there is none.
struct hb_outlet *hb_notices_first(hb_notices *notices);
void hb_notices_attach(hb_notices *notices, struct hb_outlet *outlet);
void hb_notices_detach(hb_notices *notices, struct hb_outlet *outlet);  // with the outlet's lock held

// Puts the outlet into the list, once. Called with the outlet's lock held, after what there is to tell was noted in it.
void hb_notices_add(hb_notices *notices, struct hb_outlet *outlet);
// The outlet that has waited longest, with the list's reference to it; NULL when there is none left.
struct hb_outlet *hb_notices_take(hb_notices *notices);

#endif
