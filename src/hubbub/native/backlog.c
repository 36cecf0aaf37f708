#include "backlog.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 8 };

static atomic_size_t total;

size_t hb_total_backlog(void) { return atomic_load_explicit(&total, memory_order_relaxed); }

void hb_total_add(ptrdiff_t difference) { atomic_fetch_add_explicit(&total, (size_t)difference, memory_order_relaxed); }

// Whether a socket of whom `own` bytes wait may let `size` more wait, when `used` wait for all.
static bool affordable(size_t own, size_t size, size_t used, size_t limit) {
    return used <= limit && size <= limit - used && own + size <= limit - used - size;
}

bool hb_total_claim(size_t own, size_t size, size_t limit) {
    size_t used = hb_total_backlog();
    do {
        if (!affordable(own, size, used, limit)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&total, &used, used + size, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

hb_backlog *hb_backlog_new(void) { return calloc(1, sizeof(hb_backlog)); }

static hb_waiting *at(const hb_backlog *backlog, uint32_t index) {
    return &backlog->ring[(backlog->head + index) & (backlog->capacity - 1)];
}

static void more(hb_backlog *backlog, size_t bytes) {
    backlog->size += bytes;
    hb_total_add((ptrdiff_t)bytes);
}

static void less(hb_backlog *backlog, size_t bytes) {
    backlog->size -= bytes;
    hb_total_add(-(ptrdiff_t)bytes);
}

size_t hb_backlog_free(hb_backlog *backlog) {
    size_t messages = 0;
    for (uint32_t i = 0; i < backlog->count; i++) {
        messages += at(backlog, i)->channel != HB_CONTROL;
        hb_frame_drop(at(backlog, i)->frame);
    }
    less(backlog, backlog->size);
    free(backlog->ring);
    free(backlog);
    return messages;
}

static bool grow(hb_backlog *backlog) {
    if (backlog->count < backlog->capacity) return true;
    if (backlog->capacity > UINT32_MAX / 4) return false;
    uint32_t capacity = backlog->capacity ? backlog->capacity * 2 : FIRST_CAPACITY;
    hb_waiting *ring = malloc(capacity * sizeof *ring);
    if (!ring) return false;
    for (uint32_t i = 0; i < backlog->count; i++) ring[i] = *at(backlog, i);
    free(backlog->ring);
    backlog->ring = ring;
    backlog->head = 0;
    backlog->capacity = capacity;
    return true;
}

bool hb_backlog_affordable(const hb_backlog *backlog, size_t size, const hb_bounds *bounds) {
    return affordable(backlog ? backlog->size : 0, size, hb_total_backlog(), bounds->total_backlog);
}

// Takes `size` bytes of what all may have waiting; HB_KEPT if they were free for this one.
static enum hb_cause claim(hb_backlog *backlog, size_t size, const hb_bounds *bounds) {
    if (backlog->size && backlog->size + size > bounds->backlog) return HB_OVERFLOW;
    if (!hb_total_claim(backlog->size, size, bounds->total_backlog)) return HB_BUDGET;
    backlog->size += size;
    return HB_KEPT;
}

// Of a frame that is counted already.
static bool push(hb_backlog *backlog, hb_frame *frame, uint64_t channel) {
    if (!grow(backlog)) return false;
    *at(backlog, backlog->count++) = (hb_waiting){hb_frame_keep(frame), channel};
    return true;
}

enum hb_cause hb_backlog_begin(hb_backlog *backlog, hb_frame *frame, uint64_t channel, size_t sent,
                               const hb_bounds *bounds) {
    size_t rest = frame->size - sent;
    if (channel == HB_CONTROL) more(backlog, rest);
    else if (claim(backlog, rest, bounds) != HB_KEPT) return HB_BUDGET;
    if (!push(backlog, frame, channel)) {
        less(backlog, rest);
        return HB_ERROR;
    }
    backlog->sent = sent;
    return HB_KEPT;
}

bool hb_backlog_put_control(hb_backlog *backlog, hb_frame *frame) {
    for (uint32_t i = backlog->sent ? 1 : 0; i < backlog->count; i++) {
        hb_waiting *waiting = at(backlog, i);
        if (waiting->channel == HB_CONTROL && waiting->frame->bytes[0] == frame->bytes[0]) {
            less(backlog, waiting->frame->size);
            more(backlog, frame->size);
            hb_frame_drop(waiting->frame);
            waiting->frame = hb_frame_keep(frame);
            return true;
        }
    }
    more(backlog, frame->size);
    if (push(backlog, frame, HB_CONTROL)) return true;
    less(backlog, frame->size);
    return false;
}

static bool fits(size_t own, size_t size, size_t used, const hb_bounds *bounds) {
    return (!own || own + size <= bounds->backlog) && affordable(own, size, used, bounds->total_backlog);
}

// Drops what has waited longest until `size` bytes fit; nothing if that would not do. What may not be dropped moves up to
// the gap behind it.
static size_t drop_oldest(hb_backlog *backlog, size_t size, const hb_bounds *bounds) {
    size_t dropped = 0, droppable = 0, used = hb_total_backlog();
    uint32_t kept = backlog->sent ? 1 : 0;  // frames at the head that stay
    for (uint32_t i = kept; i < backlog->count; i++) {
        if (at(backlog, i)->channel != HB_CONTROL) droppable += at(backlog, i)->frame->size;
    }
    if (!fits(backlog->size - droppable, size, used > droppable ? used - droppable : 0, bounds)) return 0;
    while (kept < backlog->count && !fits(backlog->size, size, hb_total_backlog(), bounds)) {
        hb_waiting *oldest = at(backlog, kept);
        if (oldest->channel == HB_CONTROL) {
            kept++;
            continue;
        }
        less(backlog, oldest->frame->size);
        hb_frame_drop(oldest->frame);
        for (uint32_t i = kept; i > 0; i--) *at(backlog, i) = *at(backlog, i - 1);
        backlog->head = (backlog->head + 1) & (backlog->capacity - 1);
        backlog->count--;
        dropped++;
    }
    return dropped;
}

// A set of channels, open addressing; HB_DIRECT stands for an empty place.
static bool set_add(uint64_t *set, uint32_t capacity, uint64_t channel) {
    uint32_t place = (uint32_t)((channel * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (capacity - 1);
    while (set[place] != HB_DIRECT) {
        if (set[place] == channel) return false;
        place = (place + 1) & (capacity - 1);
    }
    set[place] = channel;
    return true;
}

// Drops every message that a later one of its channel, the new one included, has made stale.
static size_t keep_latest(hb_backlog *backlog, uint64_t channel) {
    if (!backlog->count) return 0;
    uint64_t *seen = calloc((size_t)backlog->capacity * 2, sizeof *seen);
    if (!seen) return 0;
    uint32_t capacity = backlog->capacity * 2, kept = 0, fixed = backlog->sent ? 1 : 0;
    size_t dropped = 0;
    if (channel != HB_DIRECT) set_add(seen, capacity, channel);
    for (uint32_t i = backlog->count; i-- > 0;) {  // from the newest, moving what stays to the end
        hb_waiting waiting = *at(backlog, i);
        bool stays = i < fixed || waiting.channel == HB_DIRECT || waiting.channel == HB_CONTROL ||
                     set_add(seen, capacity, waiting.channel);
        if (stays) {
            *at(backlog, backlog->count - ++kept) = waiting;
        } else {
            less(backlog, waiting.frame->size);
            hb_frame_drop(waiting.frame);
            dropped++;
        }
    }
    backlog->head = (backlog->head + (backlog->count - kept)) & (backlog->capacity - 1);
    backlog->count = kept;
    free(seen);
    return dropped;
}

hb_outcome hb_backlog_add(hb_backlog *backlog, hb_frame *frame, uint64_t channel, enum hb_policy policy,
                          const hb_bounds *bounds) {
    hb_outcome outcome = {.accepted = true, .cause = HB_KEPT};
    if (channel == HB_CONTROL) more(backlog, frame->size);
    else outcome.cause = claim(backlog, frame->size, bounds);
    if (outcome.cause != HB_KEPT) {
        switch (policy) {
            case HB_DISCONNECT:
            case HB_DROP_NEWEST:
            case HB_DROP_REST:
                outcome.accepted = false;
                break;
            case HB_DROP_OLDEST:
                outcome.dropped = drop_oldest(backlog, frame->size, bounds);
                outcome.accepted = claim(backlog, frame->size, bounds) == HB_KEPT;
                break;
            case HB_LATEST:
                outcome.dropped = keep_latest(backlog, channel);
                outcome.accepted = claim(backlog, frame->size, bounds) == HB_KEPT;
                break;
        }
        outcome.disconnect = !outcome.accepted && (policy == HB_DISCONNECT || policy == HB_LATEST);
    }
    if (outcome.accepted && !push(backlog, frame, channel)) {
        less(backlog, frame->size);
        outcome.accepted = false;
        outcome.disconnect = true;
        outcome.cause = HB_ERROR;
    }
    outcome.dropped += !outcome.accepted;
    return outcome;
}

int hb_backlog_pieces(const hb_backlog *backlog, struct iovec *pieces, int most, size_t most_bytes) {
    int count = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < backlog->count && count < most && bytes < most_bytes; i++, count++) {
        hb_frame *frame = at(backlog, i)->frame;
        size_t sent = i == 0 ? backlog->sent : 0;
        pieces[count] = (struct iovec){frame->bytes + sent, frame->size - sent};
        bytes += frame->size - sent;
    }
    return count;
}

void hb_backlog_taken(hb_backlog *backlog, size_t bytes) {
    less(backlog, bytes);
    bytes += backlog->sent;
    while (backlog->count && bytes >= at(backlog, 0)->frame->size) {
        bytes -= at(backlog, 0)->frame->size;
        hb_frame_drop(at(backlog, 0)->frame);
        backlog->head = (backlog->head + 1) & (backlog->capacity - 1);
        backlog->count--;
    }
    backlog->sent = bytes;
}
