// The fan-out alone, without Python: threads join, leave, write, broadcast, finish and close as fast as they can, over
// sockets whose peers read fast, slowly or not at all, or vanish. What arrives is checked frame by frame (peer.c), and
// when a connection has ended its account is: what came, and what was counted as dropped, is what was sent.
// Strangers meanwhile open and close descriptors, on which nothing may ever arrive.
//
//   stress [SECONDS [SEED]]
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "notices.h"
#include "world.h"

enum { ACTORS = 3, READERS = 2, PATIENCE = 20, PAUSE = 100 };  // s until what should come by itself is missed; ms

static atomic_bool acting = true, reading = true, pausing;
static pthread_barrier_t pause_begins, pause_ends;
static uint64_t seed;

static actor actor_of(unsigned author) {
    return (actor){.author = author, .state = (seed + author) * UINT64_C(0x9E3779B97F4A7C15) | 1};
}

static void act_once(actor *actor) {
    slot *slot = &slots[chance(actor, SLOTS)];
    uint32_t dice = chance(actor, 1000);
    unsigned channel = chance(actor, CHANNELS);
    if (dice < 500) broadcast(actor, channel);
    else if (dice < 650) write_direct(actor, slot, DIRECT);
    else if (dice < 680) write_direct(actor, slot, PONG);
    else if (dice < 690) write_direct(actor, slot, PING);
    else if (dice < 850) join(actor, slot, channel);
    else if (dice < 930) leave(slot, channel);
    else if (dice < 935) close_connection(slot, NULL);
    else if (dice < 940) write_direct(actor, slot, LAST);
    else open_connection(actor, slot);
    if (!chance(actor, 8)) end_turn(actor);
}

static void *act(void *argument) {
    actor actor = actor_of((unsigned)(uintptr_t)argument);
    while (acting) {
        act_once(&actor);
        if (!pausing) continue;
        end_turn(&actor);
        pthread_barrier_wait(&pause_begins);
        pthread_barrier_wait(&pause_ends);
    }
    end_turn(&actor);
    hb_turn_free(&actor.turn);
    return NULL;
}

// As an event loop does: hears of outlets that gave up or are done, and closes their connections.
static void *listen_to_notices(void *unused) {
    while (reading) {
        poll(&(struct pollfd){.fd = notices->fd, .events = POLLIN}, 1, 50);
        for (hb_outlet *outlet; (outlet = hb_notices_take(notices));) {
            pthread_mutex_lock(&outlet->lock);
            uint8_t notice = outlet->notice, cut = outlet->cut;
            outlet->notice = 0;
            if (notice & HB_DROPPED) hb_outlet_go_on(outlet);
            pthread_mutex_unlock(&outlet->lock);
            slot *slot = outlet->owner;
            if (cut == HB_CUT_STALLED && outlet->bounds.stall_ms > 1000) FAIL("slot %ld reads, and was not written to", slot - slots);
            if (notice & (HB_CUT | HB_FLUSHED)) close_connection(slot, outlet);
            hb_outlet_drop(outlet);
        }
    }
    return unused;
}

// One look at one peer's end. Returns whether it is through.
static bool read_some(actor *actor, slot *slot, bool over) {
    static _Thread_local unsigned char data[1 << 16];
    if (slot->temper == VANISHING && !chance(actor, 200)) {
        shutdown(slot->theirs, SHUT_RDWR);
        close_connection(slot, NULL);
        return true;
    }
    if (slot->temper == FROZEN && !over) return false;
    for (;;) {
        ssize_t size = recv(slot->theirs, data, slot->temper == SLOW ? 1 + chance(actor, 2000) : sizeof data, MSG_DONTWAIT);
        if (size > 0) peer_reads(&slot->peer, data, (size_t)size);
        else if (size == 0) return true;
        else if (errno != EAGAIN) return slot->temper == VANISHING ? true : (FAIL("reading: %s", strerror(errno)), true);
        if (size < 0 || (slot->temper == SLOW && !over)) return false;
    }
}

static void *read_peers(void *argument) {
    unsigned first = (unsigned)(uintptr_t)argument;
    actor actor = actor_of(ACTORS + first);
    bool through[SLOTS] = {false};
    while (reading) {
        for (unsigned i = first; i < SLOTS; i += READERS) {
            pthread_mutex_lock(&hub);
            enum phase phase = slots[i].phase;
            pthread_mutex_unlock(&hub);
            if (phase == FREE) continue;
            if (!through[i]) through[i] = read_some(&actor, &slots[i], phase == CLOSED);
            if (through[i] && settle_account(&slots[i])) through[i] = false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return NULL;
}

// Takes descriptors as soon as they are closed, and sees that nobody writes to them.
static void *be_a_stranger(void *unused) {
    while (acting) {
        int ends[8];
        for (unsigned i = 0; i < 8; i += 2) {
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends + i)) FAIL("no socketpair");
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        for (unsigned i = 0; i < 8; i++) {
            char byte;
            if (recv(ends[i], &byte, 1, MSG_DONTWAIT) >= 0) FAIL("something was written to a stranger's descriptor");
        }
        for (unsigned i = 0; i < 8; i++) close(ends[i]);
    }
    return unused;
}

// Pools that end in the midst of their work, and event loops that are closed with connections open.
static void *make_pools(void *unused) {
    static const char whatever[8000];
    actor actor = actor_of(ACTORS + READERS);
    while (acting) {
        hb_counts *counts = hb_counts_new();
        hb_notices *loop = hb_notices_new();
        hb_writers *pool = hb_writers_new(1, 4, counts);
        hb_shard *shard = hb_shard_new(pool, 1);
        hb_entry *entry = hb_entry_new(hb_frame_new(whatever, sizeof whatever), NULL, 0);
        hb_outlet *outlets[40];
        hb_member *members[40];
        int ends[40][2];
        for (unsigned i = 0; i < 40; i++) {
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i])) FAIL("no socketpair");
            outlets[i] = hb_outlet_new(ends[i][0], false, loop, counts, (hb_bounds){1 << 20, 64 << 20, 1000}, NULL);
            if (i % 2) close(ends[i][1]);  // the others do not read
            pthread_mutex_lock(&outlets[i]->lock);
            hb_outlet_start(outlets[i], HB_PLAIN, NULL);
            pthread_mutex_unlock(&outlets[i]->lock);
            members[i] = hb_member_join(shard, outlets[i]);
        }
        for (uint32_t posts = chance(&actor, 400); posts; posts--) {
            if (hb_shard_post(shard, entry, NULL) == HB_POST_WAKES) hb_writers_queue(pool, shard);
        }
        hb_entry_drop(entry);
        if (chance(&actor, 2)) hb_notices_close(loop);
        bool leave_first = chance(&actor, 2);
        for (unsigned i = 0; i < 40 && leave_first; i++) hb_member_leave(members[i]);
        hb_writers_stop(pool);
        for (unsigned i = 0; i < 40; i++) {
            pthread_mutex_lock(&outlets[i]->lock);
            hb_outlet_detach(outlets[i]);
            pthread_mutex_unlock(&outlets[i]->lock);
            close(ends[i][0]);
            if (i % 2 == 0) close(ends[i][1]);
            if (!leave_first) hb_member_leave(members[i]);
            hb_outlet_drop(outlets[i]);
        }
        hb_notices_close(loop);
        hb_notices_drop(loop);
        hb_shard_drop(shard);
        hb_writers_drop(pool);
        hb_counts_drop(counts);
    }
    return unused;
}

static unsigned first_descriptors;

static unsigned descriptors(void) {
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

// Waits for what must come without anybody's doing.
static void await(const char *what, bool (*done)(void)) {
    for (unsigned i = 0; i < PATIENCE * 1000; i++) {
        if (done()) return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    FAIL("after %d s still waiting for %s", PATIENCE, what);
}

// The poller has two for ever, and lets go of the last outlets at its next look.
static bool descriptors_closed(void) { return descriptors() <= first_descriptors + 2; }

static bool mailboxes_empty(void) { return hb_writers_look(writers).waiting == 0; }

static bool all_ended(void) {
    bool ended = true;
    for (unsigned i = 0; i < SLOTS; i++) {
        pthread_mutex_lock(&hub);
        ended &= slots[i].phase == FREE;
        pthread_mutex_unlock(&hub);
    }
    return ended;
}

int main(int count, char **arguments) {
    double seconds = count > 1 ? atof(arguments[1]) : 10;
    seed = count > 2 ? strtoull(arguments[2], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %lu, %g s\n", seed, seconds);
    fflush(stdout);
    first_descriptors = descriptors();
    world_begin();
    pthread_barrier_init(&pause_begins, NULL, ACTORS + 1);
    pthread_barrier_init(&pause_ends, NULL, ACTORS + 1);
    pthread_t actors[ACTORS], readers[READERS], loop, stranger, pools;
    for (uintptr_t i = 0; i < ACTORS; i++) pthread_create(&actors[i], NULL, act, (void *)i);
    for (uintptr_t i = 0; i < READERS; i++) pthread_create(&readers[i], NULL, read_peers, (void *)i);
    pthread_create(&loop, NULL, listen_to_notices, NULL);
    pthread_create(&stranger, NULL, be_a_stranger, NULL);
    pthread_create(&pools, NULL, make_pools, NULL);
    for (uint64_t end = hb_now_ms() + (uint64_t)(seconds * 1000); hb_now_ms() < end;) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE * 1000000}, NULL);
        pausing = true;
        pthread_barrier_wait(&pause_begins);
        pausing = false;
        await("the mailboxes to be emptied: a wake-up was lost", mailboxes_empty);
        pthread_barrier_wait(&pause_ends);
    }
    acting = false;
    for (unsigned i = 0; i < ACTORS; i++) pthread_join(actors[i], NULL);
    pthread_join(stranger, NULL);
    pthread_join(pools, NULL);
    actor last = actor_of(ACTORS + READERS + 1);
    for (unsigned i = 0; i < SLOTS; i++) {
        if (i % 4) write_direct(&last, &slots[i], LAST);
        else close_connection(&slots[i], NULL);
    }
    await("peers to see the end of their connections", all_ended);
    reading = false;
    for (unsigned i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
    pthread_join(loop, NULL);
    world_end();
    if (hb_total_backlog()) FAIL("%zu bytes of backlogs are left", hb_total_backlog());
    await("descriptors to be closed", descriptors_closed);
    puts("ok");
    return 0;
}
