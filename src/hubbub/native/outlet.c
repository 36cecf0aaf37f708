#include "outlet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "poller.h"

enum {
    PIECES = 64,
    FLUSH_SIZE = 256 * 1024,  // of one sendmsg: about what a socket buffer takes at once
    LARGE = 64 * 1024,        // bytes beyond which a message begins only if all of it might wait
    UNSEEN = -1,
};

static atomic_uint_fast64_t last_id;
static uint32_t forks;  // changes where there is one thread

uint64_t hb_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

hb_outlet *hb_outlet_new(int fd, bool owned, hb_notices *notices, hb_counts *counts, hb_bounds bounds, void *owner) {
    hb_outlet *outlet = calloc(1, sizeof *outlet);
    if (!outlet) return NULL;
    outlet->fd = fd;
    outlet->forks = forks;
    outlet->owned = owned;
    atomic_init(&outlet->references, 1);
    pthread_mutex_init(&outlet->lock, NULL);
    outlet->counts = hb_counts_keep(counts);
    outlet->notices = hb_notices_keep(notices);
    outlet->bounds = bounds;
    outlet->owner = owner;
    outlet->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    hb_notices_attach(notices, outlet);
    return outlet;
}

bool hb_outlet_ours(const hb_outlet *outlet) { return outlet->forks == forks; }

void hb_outlet_after_fork(void) { forks++; }

void hb_outlet_abandon(hb_outlet *outlet) {
    if (outlet->owned && outlet->fd >= 0) close(outlet->fd);
    outlet->fd = -1;
}

hb_outlet *hb_outlet_keep(hb_outlet *outlet) {
    atomic_fetch_add_explicit(&outlet->references, 1, memory_order_relaxed);
    return outlet;
}

void hb_outlet_drop(hb_outlet *outlet) {
    if (!outlet || atomic_fetch_sub_explicit(&outlet->references, 1, memory_order_acq_rel) != 1) return;
    hb_notices_detach(outlet->notices, outlet);
    if (outlet->backlog) hb_backlog_free(outlet->backlog);
    pthread_mutex_destroy(&outlet->lock);
    hb_counts_drop(outlet->counts);
    hb_notices_drop(outlet->notices);
    free(outlet);
}

static void progressed(hb_outlet *outlet) {
    outlet->queued = UNSEEN;
    atomic_store_explicit(&outlet->progress_ms, hb_now_ms(), memory_order_relaxed);
}

static void tell(hb_outlet *outlet, uint8_t notice) {
    outlet->notice |= notice;
    hb_notices_add(outlet->notices, outlet);
}

static void end_waits(hb_outlet *outlet) {
    if (outlet->telling) tell(outlet, HB_DRAINED);
    outlet->telling = false;
}

static void forget_backlog(hb_outlet *outlet, enum hb_cause cause) {
    if (outlet->backlog) hb_count(&outlet->counts->drops[cause], hb_backlog_free(outlet->backlog));
    outlet->backlog = NULL;
    atomic_store_explicit(&outlet->buffered, 0, memory_order_relaxed);
    end_waits(outlet);
}

void hb_outlet_cut(hb_outlet *outlet, enum hb_cut cause) {
    static const enum hb_cause costs[] = {
        [HB_CUT_OVERFLOW] = HB_OVERFLOW, [HB_CUT_BUDGET] = HB_BUDGET, [HB_CUT_STALLED] = HB_OVERFLOW, [HB_CUT_ERROR] = HB_ERROR};
    if (outlet->cut) return;
    forget_backlog(outlet, costs[cause]);
    outlet->open = false;
    outlet->cut = (uint8_t)cause;
    hb_poller_forget(outlet);
    tell(outlet, HB_CUT);
}

void hb_outlet_lose(hb_outlet *outlet, size_t messages) {
    hb_count(&outlet->counts->drops[HB_ERROR], messages);
    hb_outlet_cut(outlet, HB_CUT_ERROR);
}

// The backlog has changed: what follows from that.
static void settle(hb_outlet *outlet) {
    if (outlet->backlog && !outlet->backlog->count) {
        hb_backlog_free(outlet->backlog);
        outlet->backlog = NULL;
    }
    atomic_store_explicit(&outlet->buffered, outlet->backlog ? outlet->backlog->size : 0, memory_order_relaxed);
    if (outlet->backlog) return;
    end_waits(outlet);
    if (outlet->last) tell(outlet, HB_FLUSHED);
}

// Begins a backlog and has the poller wait for the descriptor to become writable. False: the outlet was cut.
static bool begin_backlog(hb_outlet *outlet) {
    outlet->backlog = hb_backlog_new();
    progressed(outlet);
    if (outlet->backlog && hb_poller_wait(outlet)) return true;
    hb_outlet_cut(outlet, HB_CUT_ERROR);
    return false;
}

// Whether a send failed for now only: then the bytes wait for the poller, which tries again.
static bool busy(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM; }

// How many bytes the kernel takes now. Any other error counts as all: the read side of the connection finds it, too.
static size_t send_now(hb_outlet *outlet, const void *data, size_t size) {
    ssize_t sent;
    do {
        sent = send(outlet->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return (size_t)sent;
    return busy() ? 0 : size;
}

enum hb_flushed hb_outlet_flush(hb_outlet *outlet) {
    if (outlet->fd < 0 || !outlet->backlog) return HB_FLUSH_DONE;
    struct iovec pieces[PIECES];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = (size_t)hb_backlog_pieces(outlet->backlog, pieces, PIECES, FLUSH_SIZE);
    ssize_t sent;
    do {
        sent = sendmsg(outlet->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && busy()) return errno == EAGAIN || errno == EWOULDBLOCK ? HB_FLUSH_MORE : HB_FLUSH_REFUSED;
    if (sent < 0) {  // gone: the read side finds it, too
        forget_backlog(outlet, HB_CLOSED);
    } else {
        hb_backlog_taken(outlet->backlog, (size_t)sent);
        progressed(outlet);
    }
    settle(outlet);
    return outlet->backlog ? HB_FLUSH_MORE : HB_FLUSH_DONE;
}

void hb_outlet_watch(hb_outlet *outlet) {
    int queued = 0;
    if (outlet->fd < 0 || ioctl(outlet->fd, TIOCOUTQ, &queued) < 0) return;
    if (outlet->queued != UNSEEN && outlet->queued != queued) progressed(outlet);
    outlet->queued = queued;
}

static void drop(hb_outlet *outlet, enum hb_cause cause, size_t messages) {
    hb_count(&outlet->counts->drops[cause], messages);
    outlet->lost += (uint32_t)messages;
    tell(outlet, HB_DROPPED);
}

static bool is_dropped(const hb_outlet *outlet, uint64_t channel) {
    return outlet->lacking && channel != HB_DIRECT && channel != HB_CONTROL;
}

void hb_outlet_go_on(hb_outlet *outlet) {
    outlet->lacking = false;
}

// Lets one message wait, and carries out what the overflow policy says. Whether it was accepted.
static bool wait_for_room(hb_outlet *outlet, hb_frame *frame, uint64_t channel) {
    if (is_dropped(outlet, channel)) {
        drop(outlet, HB_OVERFLOW, 1);
        return false;
    }
    if (!outlet->backlog && !begin_backlog(outlet)) {
        hb_count(&outlet->counts->drops[HB_ERROR], channel != HB_CONTROL);
        return false;
    }
    hb_outcome outcome = hb_backlog_add(outlet->backlog, frame, channel, outlet->policy, &outlet->bounds);
    if (outcome.dropped) {
        drop(outlet, outcome.cause, outcome.dropped);
        outlet->lacking = outlet->lacking || (outlet->policy == HB_DROP_REST && channel != HB_DIRECT);
    }
    if (outcome.disconnect) {
        enum hb_cut cut = outcome.cause == HB_OVERFLOW ? HB_CUT_OVERFLOW
                          : outcome.cause == HB_BUDGET ? HB_CUT_BUDGET
                                                       : HB_CUT_ERROR;
        hb_outlet_cut(outlet, cut);
    } else {
        settle(outlet);
    }
    return outcome.accepted;
}

// Lets the rest of a frame wait that has begun to leave: no policy may refuse it. False: the outlet was cut.
static bool wait_for_rest(hb_outlet *outlet, hb_frame *frame, uint64_t channel, size_t sent) {
    if (!begin_backlog(outlet)) {
        hb_count(&outlet->counts->drops[HB_ERROR], channel != HB_CONTROL);
        return false;
    }
    enum hb_cause cause = hb_backlog_begin(outlet->backlog, frame, channel, sent, &outlet->bounds);
    if (cause != HB_KEPT) {
        hb_count(&outlet->counts->drops[cause], channel != HB_CONTROL);
        hb_outlet_cut(outlet, cause == HB_BUDGET ? HB_CUT_BUDGET : HB_CUT_ERROR);
        return false;
    }
    settle(outlet);
    return true;
}

// Whether a message may begin to leave: a large one only if all of it might wait, for a frame is never cut.
static bool may_begin(hb_outlet *outlet, size_t size) {
    return size <= LARGE || hb_backlog_affordable(NULL, size, &outlet->bounds);
}

void hb_outlet_start(hb_outlet *outlet, unsigned form, hb_frame *greeting) {
    if (outlet->fd < 0) return;
    outlet->form = (uint8_t)form;
    outlet->open = true;
    if (!greeting) return;
    size_t sent = send_now(outlet, greeting->bytes, greeting->size);
    if (sent < greeting->size) wait_for_rest(outlet, greeting, HB_CONTROL, sent);
}

static void take(hb_tally *tally, size_t messages, size_t bytes) {
    tally->deliveries += messages;
    tally->bytes += bytes;
}

// What the kernel took of all frames in a row ends inside one of them: its rest waits, then those behind it.
static void wait_from(hb_outlet *outlet, hb_frame *const *frames, size_t count, size_t sent, uint64_t channel,
                      hb_tally *tally) {
    size_t i = 0;
    for (; sent >= frames[i]->size; i++) {
        sent -= frames[i]->size;
        take(tally, 1, frames[i]->size);
    }
    if (sent) {
        if (wait_for_rest(outlet, frames[i], channel, sent)) take(tally, 1, frames[i]->size);
        i++;
    }
    for (; i < count && outlet->open; i++) {
        if (wait_for_room(outlet, frames[i], channel)) take(tally, 1, frames[i]->size);
    }
    hb_count(&outlet->counts->drops[HB_CLOSED], count - i);
}

void hb_outlet_deliver(hb_outlet *outlet, hb_frame *const *frames, size_t count, hb_frame *joined, uint64_t channel,
                       hb_tally *tally) {
    if (!outlet->open || outlet->fd < 0) {
        hb_count(&outlet->counts->drops[HB_CLOSED], count);
        return;
    }
    if (is_dropped(outlet, channel)) {
        drop(outlet, HB_OVERFLOW, count);
        return;
    }
    if (outlet->backlog) {
        wait_from(outlet, frames, count, 0, channel, tally);
        return;
    }
    if (joined && joined->size <= LARGE) {
        tally->sends++;
        size_t sent = send_now(outlet, joined->bytes, joined->size);
        if (sent == joined->size) take(tally, count, joined->size);
        else wait_from(outlet, frames, count, sent, channel, tally);
        return;
    }
    for (size_t done = 0; done < count;) {
        struct iovec pieces[PIECES];
        size_t some = 0, size = 0;
        for (; some < PIECES && done + some < count && may_begin(outlet, frames[done + some]->size); some++) {
            pieces[some] = (struct iovec){frames[done + some]->bytes, frames[done + some]->size};
            size += frames[done + some]->size;
        }
        if (!some) {  // the policy decides on it
            if (wait_for_room(outlet, frames[done], channel)) take(tally, 1, frames[done]->size);
            if (++done == count || (outlet->open && !outlet->backlog && !outlet->lacking)) continue;
            wait_from(outlet, frames + done, count - done, 0, channel, tally);
            return;
        }
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = some};
        ssize_t sent = sendmsg(outlet->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        tally->sends++;
        if (sent < 0) sent = busy() ? 0 : (ssize_t)size;
        if ((size_t)sent < size) {
            wait_from(outlet, frames + done, count - done, (size_t)sent, channel, tally);
            return;
        }
        take(tally, some, size);
        done += some;
    }
}

bool hb_outlet_write(hb_outlet *outlet, const void *data, size_t size, uint64_t channel) {
    if (!outlet->open || outlet->fd < 0) {
        hb_count(&outlet->counts->drops[HB_CLOSED], channel != HB_CONTROL);
        return false;
    }
    bool waits = outlet->backlog || (channel != HB_CONTROL && !may_begin(outlet, size));
    size_t sent = waits ? 0 : send_now(outlet, data, size);
    if (sent == size && !waits) return true;
    hb_frame *frame = hb_frame_new(data, size);
    if (!frame) {
        hb_outlet_lose(outlet, channel != HB_CONTROL);
        return false;
    }
    bool accepted = sent ? wait_for_rest(outlet, frame, channel, sent) : wait_for_room(outlet, frame, channel);
    hb_frame_drop(frame);
    return accepted;
}

bool hb_outlet_control(hb_outlet *outlet, const void *data, size_t size) {
    if (!outlet->backlog) return hb_outlet_write(outlet, data, size, HB_CONTROL);
    hb_frame *frame = outlet->open ? hb_frame_new(data, size) : NULL;
    bool put = frame && hb_backlog_put_control(outlet->backlog, frame);
    if (put) settle(outlet);
    hb_frame_drop(frame);
    return put;
}

bool hb_outlet_finish(hb_outlet *outlet, const void *data, size_t size, void *why) {
    if (!outlet->open) return false;
    outlet->last = true;
    bool put = hb_outlet_write(outlet, data, size, HB_CONTROL);
    outlet->open = false;
    if (!put) return false;
    outlet->why = why;
    end_waits(outlet);
    settle(outlet);
    return true;
}

void hb_outlet_detach(hb_outlet *outlet) {
    outlet->open = false;
    forget_backlog(outlet, HB_CLOSED);
    hb_poller_forget(outlet);
    if (outlet->owned && outlet->fd >= 0) {
        // Closing alone tells the peer nothing while a child of a fork has a copy.
        if (hb_outlet_ours(outlet)) shutdown(outlet->fd, SHUT_RDWR);
        close(outlet->fd);
    }
    outlet->fd = -1;
    hb_notices_detach(outlet->notices, outlet);
}
