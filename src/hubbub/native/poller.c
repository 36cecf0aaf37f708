#include "poller.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS = 256, TICK_MS = 250, AT_ONCE = 64 };  // events of one wait; between two looks for stalls; cut in one look

static struct {
    pthread_mutex_t lock;  // guards all of it, and the links of the outlets in its lists
    bool running;
    int epoll, wake;
    hb_outlet *known;    // outlets whose descriptors epoll knows; the list has a reference to each
    hb_outlet *due;      // what the thread's latest look has found, with a reference to each; the thread's own
    hb_outlet *retired;  // those forgotten since, until the thread has no event left that names them
} poller = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .wake = -1};

static void release_retired(void) {
    pthread_mutex_lock(&poller.lock);
    hb_outlet *outlet = poller.retired;
    poller.retired = NULL;
    pthread_mutex_unlock(&poller.lock);
    while (outlet) {
        hb_outlet *next = outlet->next_known;
        hb_outlet_drop(outlet);
        outlet = next;
    }
}

// One send: who waits for the lock comes in before the next. A socket for which the kernel has no memory would be ready again
// at once: it is left to the next look.
static void flush(hb_outlet *outlet) {
    pthread_mutex_lock(&outlet->lock);
    enum hb_flushed flushed = hb_outlet_flush(outlet);
    atomic_store_explicit(&outlet->refused, flushed == HB_FLUSH_REFUSED, memory_order_relaxed);
    if (flushed == HB_FLUSH_MORE && !hb_poller_wait(outlet)) hb_outlet_cut(outlet, HB_CUT_ERROR);
    pthread_mutex_unlock(&outlet->lock);
}

static bool waited(hb_outlet *outlet, uint64_t now, uint64_t ms) {
    uint64_t since = atomic_load_explicit(&outlet->progress_ms, memory_order_relaxed);
    return atomic_load_explicit(&outlet->buffered, memory_order_relaxed) && now > since + ms;
}

static bool stalled(hb_outlet *outlet, uint64_t now) { return waited(outlet, now, outlet->bounds.stall_ms); }

// Whether it is soon to be known if it stalls: then what the kernel has for it is watched.
static bool suspect(hb_outlet *outlet, uint64_t now) { return waited(outlet, now, outlet->bounds.stall_ms / 2); }

// Finds in one walk what has taken nothing for too long, or is to be tried again. An outlet's lock comes before the poller's,
// so they are only noted.
static void look(void) {
    uint64_t now = hb_now_ms();
    pthread_mutex_lock(&poller.lock);
    for (hb_outlet *outlet = poller.known; outlet; outlet = outlet->next_known) {
        if (!suspect(outlet, now) && !atomic_load_explicit(&outlet->refused, memory_order_relaxed)) continue;
        outlet->next_due = poller.due;
        poller.due = hb_outlet_keep(outlet);
    }
    pthread_mutex_unlock(&poller.lock);
}

// Some of what was found, for those whose sockets are ready are not to wait for all of it.
static void cut_stalled(void) {
    uint64_t now = hb_now_ms();
    for (int i = 0; i < AT_ONCE && poller.due; i++) {
        hb_outlet *outlet = poller.due;
        poller.due = outlet->next_due;
        pthread_mutex_lock(&outlet->lock);
        if (suspect(outlet, now)) hb_outlet_watch(outlet);
        bool over = stalled(outlet, now);
        bool again = atomic_load_explicit(&outlet->refused, memory_order_relaxed);
        if (over) hb_outlet_cut(outlet, HB_CUT_STALLED);
        pthread_mutex_unlock(&outlet->lock);
        if (!over && again) flush(outlet);
        hb_outlet_drop(outlet);
    }
}

static void *poll_for_ever(void *epoll) {
    struct epoll_event events[EVENTS];
    for (uint64_t next = 0;;) {
        // An outlet that was retired before this wait is in none of its events: the kernel has forgotten it.
        release_retired();
        pthread_mutex_lock(&poller.lock);
        int pause = poller.due ? 0 : poller.known ? TICK_MS : -1;
        pthread_mutex_unlock(&poller.lock);
        int count = epoll_wait((int)(intptr_t)epoll, events, EVENTS, pause);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) {
                flush(events[i].data.ptr);
            } else {
                uint64_t times;
                ssize_t emptied = read(poller.wake, &times, sizeof times);
                (void)emptied;
            }
        }
        cut_stalled();
        if (!poller.due && hb_now_ms() >= next) {
            look();
            next = hb_now_ms() + TICK_MS;
        }
    }
    return NULL;
}

// With the poller's lock held.
static bool start(void) {
    if (poller.running) return true;
    poller.epoll = epoll_create1(EPOLL_CLOEXEC);
    poller.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the program's, never this thread's
    pthread_t thread;
    poller.running = poller.epoll >= 0 && poller.wake >= 0 &&
                     epoll_ctl(poller.epoll, EPOLL_CTL_ADD, poller.wake, &event) == 0 &&
                     pthread_create(&thread, NULL, poll_for_ever, (void *)(intptr_t)poller.epoll) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (poller.running) {
        pthread_detach(thread);
    } else {
        if (poller.epoll >= 0) close(poller.epoll);
        if (poller.wake >= 0) close(poller.wake);
        poller.epoll = poller.wake = -1;  // or a child of a fork would close what has these numbers then
    }
    return poller.running;
}

bool hb_poller_wait(hb_outlet *outlet) {
    struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.ptr = outlet};
    if (!hb_outlet_ours(outlet)) return false;
    pthread_mutex_lock(&poller.lock);
    bool known = outlet->known;
    bool waits = start() && epoll_ctl(poller.epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, outlet->fd, &event) == 0;
    if (waits && !known) {
        if (!poller.known) {  // it sleeps without a tick
            ssize_t written = write(poller.wake, &(uint64_t){1}, sizeof(uint64_t));
            (void)written;
        }
        outlet->known = true;
        outlet->next_known = poller.known;
        if (poller.known) poller.known->previous_known = outlet;
        poller.known = hb_outlet_keep(outlet);
    }
    pthread_mutex_unlock(&poller.lock);
    return waits;
}

void hb_poller_forget(hb_outlet *outlet) {
    if (!hb_outlet_ours(outlet)) return;  // it is in the parent's list
    pthread_mutex_lock(&poller.lock);
    if (outlet->known) {
        epoll_ctl(poller.epoll, EPOLL_CTL_DEL, outlet->fd, NULL);
        outlet->known = false;
        if (outlet->previous_known) outlet->previous_known->next_known = outlet->next_known;
        else poller.known = outlet->next_known;
        if (outlet->next_known) outlet->next_known->previous_known = outlet->previous_known;
        outlet->previous_known = NULL;
        outlet->next_known = poller.retired;
        poller.retired = outlet;
    }
    pthread_mutex_unlock(&poller.lock);
}

void hb_poller_after_fork(void) {
    pthread_mutex_init(&poller.lock, NULL);
    // The parent's connections are not the child's: what is in the lists stays the parent's.
    if (poller.epoll >= 0) close(poller.epoll);
    if (poller.wake >= 0) close(poller.wake);
    poller.running = false;
    poller.epoll = poller.wake = -1;
    poller.known = poller.due = poller.retired = NULL;
}
