#include "shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "writers.h"

#define GONE UINT64_MAX  // the cursor of a member that has left

hb_shard *hb_shard_new(struct hb_writers *writers, uint64_t channel) {
    hb_shard *shard = calloc(1, sizeof *shard);
    if (!shard) return NULL;
    atomic_init(&shard->references, 1);
    shard->writers = hb_writers_keep(writers);
    shard->channel = channel;
    pthread_mutex_init(&shard->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&shard->room, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return shard;
}

hb_shard *hb_shard_keep(hb_shard *shard) {
    atomic_fetch_add_explicit(&shard->references, 1, memory_order_relaxed);
    return shard;
}

// Every member has a reference, and so has the writers' queue: when the last one goes, there are none of either.
void hb_shard_drop(hb_shard *shard) {
    if (!shard || atomic_fetch_sub_explicit(&shard->references, 1, memory_order_acq_rel) != 1) return;
    hb_batch_end(&shard->batch);
    hb_batch_free(&shard->batch);
    hb_writers_waiting(shard->writers, -(long)shard->count);
    for (size_t i = 0; i < shard->count; i++) hb_entry_drop(shard->log[(shard->head + i) & (shard->capacity - 1)]);
    free(shard->log);
    free(shard->members);
    pthread_cond_destroy(&shard->room);
    pthread_mutex_destroy(&shard->lock);
    hb_writers_drop(shard->writers);
    free(shard);
}

void hb_member_drop(hb_member *member) {
    if (!member || atomic_fetch_sub_explicit(&member->references, 1, memory_order_acq_rel) != 1) return;
    hb_outlet_drop(member->outlet);
    hb_shard_drop(member->shard);
    free(member);
}

// Members: the array, and the list of changes to it

static bool place(hb_shard *shard, hb_member *member) {
    if (shard->member_count == shard->member_capacity) {
        size_t capacity = shard->member_capacity ? shard->member_capacity * 2 : 8;
        hb_member **members = realloc(shard->members, capacity * sizeof *members);
        if (!members) return false;
        shard->members = members;
        shard->member_capacity = capacity;
    }
    member->index = shard->member_count;
    member->present = true;
    shard->members[shard->member_count++] = member;
    return true;
}

// Swap-remove. Batches go from the last member to the first: the one that moves down has been served, and its cursor
// tells so if it is met again, or it is still to be met.
static void displace(hb_shard *shard, hb_member *member) {
    hb_member *last = shard->members[--shard->member_count];
    shard->members[member->index] = last;
    last->index = member->index;
    member->present = false;
    if (shard->batch.position > shard->member_count) shard->batch.position = shard->member_count;
}

// Brings one member's place in line with what is wanted. False without memory. Drops the array's reference.
static bool settle(hb_shard *shard, hb_member *member) {
    if (member->wanted && !member->present) return place(shard, member);
    if (!member->wanted) {
        if (member->present) displace(shard, member);
        hb_member_drop(member);
    }
    return true;
}

// With the shard's lock held, when nobody runs it. False without memory: what is left is tried again.
static bool apply_changes(hb_shard *shard) {
    while (shard->changes) {
        hb_member *member = shard->changes;
        hb_member *next = member->next_change;
        member->changing = false;
        if (!settle(shard, member)) {
            member->changing = true;
            return false;
        }
        shard->changes = next;
    }
    return true;
}

// With the shard's lock held.
static void change(hb_shard *shard, hb_member *member) {
    if (member->changing) return;  // the runner will see what is wanted
    if (shard->state != HB_RUNNING && !shard->changes && settle(shard, member)) return;
    member->changing = true;
    member->next_change = shard->changes;
    shard->changes = member;
}

hb_member *hb_member_join(hb_shard *shard, hb_outlet *outlet) {
    hb_member *member = calloc(1, sizeof *member);
    if (!member) return NULL;
    atomic_init(&member->references, 2);  // the caller's, and the array's
    member->outlet = hb_outlet_keep(outlet);
    member->shard = hb_shard_keep(shard);
    member->wanted = true;
    pthread_mutex_lock(&outlet->lock);
    member->next = outlet->members;
    if (outlet->members) outlet->members->previous = member;
    outlet->members = member;
    pthread_mutex_lock(&shard->lock);
    member->cursor = atomic_load_explicit(&shard->end, memory_order_relaxed);
    change(shard, member);
    pthread_mutex_unlock(&shard->lock);
    pthread_mutex_unlock(&outlet->lock);
    return member;
}

// Gives a member what it has not been given yet. With its outlet's lock held.
static void give_pending(hb_member *member) {
    hb_shard *shard = member->shard;
    if (member->cursor >= atomic_load_explicit(&shard->end, memory_order_acquire)) return;
    hb_outlet *outlet = member->outlet;
    pthread_mutex_lock(&shard->lock);
    uint64_t end = atomic_load_explicit(&shard->end, memory_order_relaxed);
    size_t first = (size_t)(member->cursor > shard->start ? member->cursor - shard->start : 0), count = 0;
    hb_frame **frames = malloc((shard->count - first + 1) * sizeof *frames);
    for (size_t i = first; i < shard->count; i++) {
        hb_entry *entry = shard->log[(shard->head + i) & (shard->capacity - 1)];
        if (hb_entry_excludes(entry, outlet->id)) continue;
        if (frames) frames[count] = hb_frame_keep(hb_entry_frame(entry, outlet->form));
        count++;
    }
    pthread_mutex_unlock(&shard->lock);
    member->cursor = end;
    if (!frames) {
        hb_outlet_lose(outlet, count);
        return;
    }
    hb_tally tally = {0};
    if (count) hb_outlet_deliver(outlet, frames, count, NULL, shard->channel, &tally);
    for (size_t i = 0; i < count; i++) hb_frame_drop(frames[i]);
    free(frames);
    hb_counts_add(hb_writers_counts(shard->writers), tally);
}

void hb_outlet_catch_up(hb_outlet *outlet) {
    for (hb_member *member = outlet->members; member; member = member->next) give_pending(member);
}

void hb_member_leave(hb_member *member) {
    hb_outlet *outlet = member->outlet;
    hb_shard *shard = member->shard;
    pthread_mutex_lock(&outlet->lock);
    give_pending(member);  // to a closed one, too: there it is counted as dropped
    member->cursor = GONE;
    if (member->previous) member->previous->next = member->next;
    else outlet->members = member->next;
    if (member->next) member->next->previous = member->previous;
    pthread_mutex_unlock(&outlet->lock);
    pthread_mutex_lock(&shard->lock);
    member->wanted = false;
    change(shard, member);
    pthread_mutex_unlock(&shard->lock);
    hb_member_drop(member);
}

// The log

bool hb_shard_has_room(hb_shard *shard, size_t size, size_t most, size_t most_size) {
    pthread_mutex_lock(&shard->lock);
    bool room = shard->count < most && (!shard->size || shard->size + size <= most_size);
    pthread_mutex_unlock(&shard->lock);
    return room;
}

void hb_shard_wait_for_room(hb_shard *shard, size_t size, size_t most, size_t most_size, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    seconds = seconds < 1e8 ? seconds : 1e8;
    long nanoseconds = until.tv_nsec + (long)((seconds - (double)(time_t)seconds) * 1e9);
    until.tv_sec += (time_t)seconds + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&shard->lock);
    shard->waiting_for_room++;
    while (shard->count >= most || (shard->size && shard->size + size > most_size)) {
        if (pthread_cond_timedwait(&shard->room, &shard->lock, &until) == ETIMEDOUT) break;
    }
    shard->waiting_for_room--;
    pthread_mutex_unlock(&shard->lock);
}

static bool grow_log(hb_shard *shard) {
    if (shard->count < shard->capacity) return true;
    size_t capacity = shard->capacity ? shard->capacity * 2 : 8;
    hb_entry **log = malloc(capacity * sizeof *log);
    if (!log) return false;
    for (size_t i = 0; i < shard->count; i++) log[i] = shard->log[(shard->head + i) & (shard->capacity - 1)];
    free(shard->log);
    shard->log = log;
    shard->head = 0;
    shard->capacity = capacity;
    return true;
}

enum hb_posted hb_shard_post(hb_shard *shard, hb_entry *entry, const void *promiser) {
    pthread_mutex_lock(&shard->lock);
    if (!grow_log(shard)) {
        pthread_mutex_unlock(&shard->lock);
        return HB_NOT_POSTED;
    }
    shard->log[(shard->head + shard->count++) & (shard->capacity - 1)] = hb_entry_keep(entry);
    shard->size += entry->forms[HB_PLAIN]->size;
    hb_writers_waiting(shard->writers, 1);
    // Released: whoever sees the number may take the lock and find the message.
    atomic_fetch_add_explicit(&shard->end, 1, memory_order_release);
    // No wake-up is lost: whoever makes the shard idle does so under this lock, having seen an empty log.
    enum hb_posted posted = HB_POST_WAITS;
    if (shard->state == HB_IDLE && promiser) {
        shard->state = HB_POSTED;
        shard->promiser = promiser;
        posted = HB_POST_PROMISED;
    } else if (shard->state == HB_IDLE || (shard->state == HB_POSTED && shard->promiser != promiser)) {
        shard->state = HB_QUEUED;
        posted = HB_POST_WAKES;
    }
    pthread_mutex_unlock(&shard->lock);
    return posted;
}

// Running

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool hb_shard_claim(hb_shard *shard, enum hb_state from) {
    pthread_mutex_lock(&shard->lock);
    bool claimed = shard->state == from;
    if (claimed) shard->state = HB_RUNNING;
    pthread_mutex_unlock(&shard->lock);
    return claimed;
}

// Begins the next batch, if there is mail. With the shard's lock held.
static bool take(hb_shard *shard) {
    hb_batch *batch = &shard->batch;
    if (batch->count) return true;
    size_t size = 0;
    for (size_t i = 0; i < shard->count; i++) {
        hb_entry *entry = shard->log[(shard->head + i) & (shard->capacity - 1)];
        if (i && size + entry->forms[HB_PLAIN]->size > HB_BATCH_SIZE) break;
        if (!hb_batch_add(batch, entry)) break;  // without memory for more: this much
        size += entry->forms[HB_PLAIN]->size;
    }
    batch->start = shard->start;
    batch->end = shard->start + batch->count;
    batch->size = size;
    batch->position = shard->member_count;
    batch->began_ns = now_ns();
    return batch->count > 0;
}

// The batch has been given to everyone: forget its messages. With the shard's lock held.
static void finish(hb_shard *shard) {
    hb_batch *batch = &shard->batch;
    for (size_t i = 0; i < batch->count; i++) {
        hb_entry_drop(shard->log[shard->head]);
        shard->head = (shard->head + 1) & (shard->capacity - 1);
    }
    shard->count -= batch->count;
    shard->start += batch->count;
    shard->size -= batch->size;
    hb_writers_waiting(shard->writers, -(long)batch->count);
    hb_batch_end(batch);
    shard->took_ns = now_ns() - batch->began_ns;
    if (shard->waiting_for_room) pthread_cond_broadcast(&shard->room);
}

bool hb_shard_run(hb_shard *shard) {
    pthread_mutex_lock(&shard->lock);
    bool ready = apply_changes(shard) && take(shard);
    pthread_mutex_unlock(&shard->lock);
    if (ready) hb_batch_serve(&shard->batch, shard->members, shard->channel, hb_writers_counts(shard->writers));
    pthread_mutex_lock(&shard->lock);
    shard->state = HB_QUEUED;  // from here on the array is the lock's
    apply_changes(shard);
    shard->took_ns = 0;
    if (ready && shard->batch.position == 0) finish(shard);
    bool more = shard->count > 0;
    if (!more) shard->state = HB_IDLE;
    pthread_mutex_unlock(&shard->lock);
    if (more && !ready) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);  // no memory just now
    return more;
}
