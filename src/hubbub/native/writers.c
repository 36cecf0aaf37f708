#include "writers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "shard.h"

enum {
    SMALL = 32,          // members up to which a shard is written in the caller's turn: waking a thread costs as much
    MOMENT_NS = 250000,  // at most, between two batches of one shard: a 32nd of what the first one took
    LINGER_SECONDS = 5,  // idleness after which a writer beyond `least` ends
};

struct hb_writers {
    atomic_uint_fast32_t references;
    unsigned least, most;
    hb_counts *counts;
    atomic_long waiting;

    pthread_mutex_t lock;  // guards what follows
    pthread_cond_t mail;   // something is in the queue, or the writers are to end
    pthread_cond_t ended;  // a writer has
    hb_shard *first, *last;
    unsigned size, idle, woken;  // writers that live; that sleep; that were told to wake and have not yet
    bool stopping;
    uint64_t failures;
};

hb_writers *hb_writers_new(unsigned least, unsigned most, hb_counts *counts) {
    hb_writers *writers = calloc(1, sizeof *writers);
    if (!writers) return NULL;
    atomic_init(&writers->references, 1);
    writers->least = least;
    writers->most = most;
    writers->counts = hb_counts_keep(counts);
    hb_writers_after_fork(writers);
    return writers;
}

void hb_writers_after_fork(hb_writers *writers) {
    pthread_mutex_init(&writers->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writers->mail, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&writers->ended, NULL);
    writers->first = writers->last = NULL;
    writers->size = writers->idle = writers->woken = 0;
}

hb_writers *hb_writers_keep(hb_writers *writers) {
    atomic_fetch_add_explicit(&writers->references, 1, memory_order_relaxed);
    return writers;
}

// Every thread of the pool and every shard has a reference: when the last one goes, there are none of either.
void hb_writers_drop(hb_writers *writers) {
    if (!writers || atomic_fetch_sub_explicit(&writers->references, 1, memory_order_acq_rel) != 1) return;
    pthread_cond_destroy(&writers->mail);
    pthread_cond_destroy(&writers->ended);
    pthread_mutex_destroy(&writers->lock);
    hb_counts_drop(writers->counts);
    free(writers);
}

hb_counts *hb_writers_counts(hb_writers *writers) { return writers->counts; }

void hb_writers_waiting(hb_writers *writers, long more) {
    atomic_fetch_add_explicit(&writers->waiting, more, memory_order_relaxed);
}

// With the lock held.
static void put_last(hb_writers *writers, hb_shard *shard) {
    shard->next_queued = NULL;
    if (writers->last) writers->last->next_queued = shard;
    else writers->first = shard;
    writers->last = shard;
}

// Sleeps until there is mail. With the lock held. False: this writer is to end.
static bool wait_for_mail(hb_writers *writers) {
    while (!writers->first) {
        if (writers->stopping) return false;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LINGER_SECONDS;
        writers->idle++;
        int error = pthread_cond_timedwait(&writers->mail, &writers->lock, &until);
        writers->idle--;
        if (writers->woken) writers->woken--;
        if (error == ETIMEDOUT && !writers->first && writers->size > writers->least) return false;
    }
    return !writers->stopping;
}

// After a long batch, and with another one waiting, a moment for what the one that left is answered with: else those answers
// miss the next batch, and two half ones take turns for ever. With the lock held, which is released meanwhile.
static void listen_for_answers(hb_writers *writers, uint64_t took_ns) {
    uint64_t pause_ns = took_ns / 32 < MOMENT_NS ? took_ns / 32 : MOMENT_NS;
    if (pause_ns < MOMENT_NS / 8) return;
    pthread_mutex_unlock(&writers->lock);
    nanosleep(&(struct timespec){.tv_nsec = (long)pause_ns}, NULL);
    pthread_mutex_lock(&writers->lock);
}

// Takes the first shard and gives a slice of it. With the lock held, which is released meanwhile.
static void work(hb_writers *writers) {
    hb_shard *shard = writers->first;
    writers->first = shard->next_queued;
    if (!writers->first) writers->last = NULL;
    pthread_mutex_unlock(&writers->lock);
    bool more = hb_shard_claim(shard, HB_QUEUED) && hb_shard_run(shard);
    uint64_t took_ns = more ? shard->took_ns : 0;  // it is still ours then
    if (!more) hb_shard_drop(shard);
    pthread_mutex_lock(&writers->lock);
    if (more) put_last(writers, shard);
    if (more && writers->first == shard) listen_for_answers(writers, took_ns);
}

static void *write_for_ever(void *argument) {
    hb_writers *writers = argument;
    pthread_mutex_lock(&writers->lock);
    while (wait_for_mail(writers)) work(writers);
    writers->size--;
    pthread_cond_signal(&writers->ended);
    pthread_mutex_unlock(&writers->lock);
    hb_writers_drop(writers);
    return NULL;
}

// With the lock held. A writer that cannot be started is counted, and tried again when the next shard is queued.
static void start_writer(hb_writers *writers) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the program's, never a writer's
    pthread_t thread;
    hb_writers_keep(writers);
    if (pthread_create(&thread, NULL, write_for_ever, writers) == 0) {
        pthread_detach(thread);
        writers->size++;
    } else {
        writers->failures++;
        hb_writers_drop(writers);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void hb_writers_queue(hb_writers *writers, hb_shard *shard) {
    hb_shard_keep(shard);
    pthread_mutex_lock(&writers->lock);
    put_last(writers, shard);
    if (writers->idle > writers->woken) {
        writers->woken++;
        pthread_cond_signal(&writers->mail);
    } else if (writers->size < writers->most && !writers->stopping) {
        start_writer(writers);
        // Without a single one nobody would come, whatever is posted later: then the caller writes.
        while (!writers->size && writers->first) work(writers);
    }
    pthread_mutex_unlock(&writers->lock);
}

size_t hb_writers_hand_over(hb_writers *writers, hb_shard *shard, size_t most) {
    if (!hb_shard_claim(shard, HB_POSTED)) return 0;  // somebody else has queued it since
    size_t members = shard->member_count;  // the array is ours now
    if (members <= SMALL && members <= most) {
        if (hb_shard_run(shard)) hb_writers_queue(writers, shard);
        return members;
    }
    pthread_mutex_lock(&shard->lock);
    shard->state = HB_QUEUED;
    pthread_mutex_unlock(&shard->lock);
    hb_writers_queue(writers, shard);
    return 0;
}

void hb_writers_stop(hb_writers *writers) {
    pthread_mutex_lock(&writers->lock);
    writers->stopping = true;
    pthread_cond_broadcast(&writers->mail);
    while (writers->size) {
        pthread_cond_wait(&writers->ended, &writers->lock);
    }
    hb_shard *shard = writers->first;
    writers->first = writers->last = NULL;
    pthread_mutex_unlock(&writers->lock);
    while (shard) {
        hb_shard *next = shard->next_queued;
        hb_shard_drop(shard);
        shard = next;
    }
}

hb_writers_state hb_writers_look(hb_writers *writers) {
    pthread_mutex_lock(&writers->lock);
    hb_writers_state state = {
        .size = writers->size,
        .busy = writers->size - writers->idle,
        .waiting = atomic_load_explicit(&writers->waiting, memory_order_relaxed),
        .failures = writers->failures,
    };
    pthread_mutex_unlock(&writers->lock);
    return state;
}
