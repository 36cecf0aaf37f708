#include "notices.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "outlet.h"

hb_notices *hb_notices_new(void) {
    hb_notices *notices = calloc(1, sizeof *notices);
    if (!notices) return NULL;
    notices->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (notices->fd < 0) {
        free(notices);
        return NULL;
    }
    atomic_init(&notices->references, 1);
    pthread_mutex_init(&notices->lock, NULL);
    return notices;
}

hb_notices *hb_notices_keep(hb_notices *notices) {
    atomic_fetch_add_explicit(&notices->references, 1, memory_order_relaxed);
    return notices;
}

void hb_notices_drop(hb_notices *notices) {
    // An outlet in the list holds a reference to the notices through its own: so when the last one goes the list is empty.
    if (!notices || atomic_fetch_sub_explicit(&notices->references, 1, memory_order_acq_rel) != 1) return;
    close(notices->fd);
    pthread_mutex_destroy(&notices->lock);
    free(notices);
}

void hb_notices_add(hb_notices *notices, struct hb_outlet *outlet) {
    pthread_mutex_lock(&notices->lock);
    if (!outlet->noticed && !notices->closed) {
        outlet->noticed = true;
        outlet->next_notice = NULL;
        hb_outlet_keep(outlet);
        if (notices->last) {
            notices->last->next_notice = outlet;
        } else {
            notices->first = outlet;
            // Under the lock: the loop empties the eventfd under it, so no wake-up falls between the two.
            ssize_t written = write(notices->fd, &(uint64_t){1}, sizeof(uint64_t));
            (void)written;  // it can only say that it is readable already
        }
        notices->last = outlet;
    }
    pthread_mutex_unlock(&notices->lock);
}

struct hb_outlet *hb_notices_take(hb_notices *notices) {
    pthread_mutex_lock(&notices->lock);
    struct hb_outlet *outlet = notices->first;
    if (outlet) {
        notices->first = outlet->next_notice;
        outlet->noticed = false;  // from here on it is added again: what is noted later is not lost
    }
    if (!notices->first) {
        notices->last = NULL;
        uint64_t count;
        ssize_t emptied = read(notices->fd, &count, sizeof count);
        (void)emptied;
    }
    pthread_mutex_unlock(&notices->lock);
    return outlet;
}

void hb_notices_attach(hb_notices *notices, struct hb_outlet *outlet) {
    pthread_mutex_lock(&notices->lock);
    outlet->attached = true;
    outlet->next_attached = notices->attached;
    if (notices->attached) notices->attached->previous_attached = outlet;
    notices->attached = outlet;
    pthread_mutex_unlock(&notices->lock);
}

void hb_notices_detach(hb_notices *notices, struct hb_outlet *outlet) {
    pthread_mutex_lock(&notices->lock);
    if (outlet->attached) {
        outlet->attached = false;
        if (outlet->previous_attached) outlet->previous_attached->next_attached = outlet->next_attached;
        else notices->attached = outlet->next_attached;
        if (outlet->next_attached) outlet->next_attached->previous_attached = outlet->previous_attached;
    }
    pthread_mutex_unlock(&notices->lock);
}

struct hb_outlet *hb_notices_first(hb_notices *notices) {
    pthread_mutex_lock(&notices->lock);
    hb_outlet *outlet = notices->attached ? hb_outlet_keep(notices->attached) : NULL;
    pthread_mutex_unlock(&notices->lock);
    return outlet;
}

void hb_notices_close(hb_notices *notices) {
    pthread_mutex_lock(&notices->lock);
    notices->closed = true;
    while (notices->attached) {  // an outlet's lock comes before this one
        hb_outlet *outlet = hb_outlet_keep(notices->attached);
        pthread_mutex_unlock(&notices->lock);
        pthread_mutex_lock(&outlet->lock);
        hb_outlet_detach(outlet);
        pthread_mutex_unlock(&outlet->lock);
        hb_outlet_drop(outlet);
        pthread_mutex_lock(&notices->lock);
    }
    pthread_mutex_unlock(&notices->lock);
    for (hb_outlet *outlet; (outlet = hb_notices_take(notices));) hb_outlet_drop(outlet);
}
