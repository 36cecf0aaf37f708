// Clients that only buffer: what arrives waits in the kernel while it is measured, so that the server
// may have every core. One message at a time: the next is published when a sample of the members,
// every 16th, holds all bytes of the last one. In between, unmeasured, everything is read and checked.
#include "load.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>

enum { SAMPLE = 16, ROOM = 64 * 1024 };  // bytes that surely fit into a socket that nobody reads
static const uint64_t PATIENCE = 10000000000u;  // ns

// Sleeps through most of what the last one took, and only then looks often: whoever looks takes a core from the server.
static bool wait_for(int bytes) {
    static uint64_t took;
    uint64_t began = now_ns(), limit = began + PATIENCE;
    struct timespec most = {.tv_nsec = (long)(took < 100000000 ? took * 3 / 4 : 0)}, nap = {.tv_nsec = 20000};
    nanosleep(&most, NULL);
    for (int i = options.members - 1; i >= 0; i -= SAMPLE) {
        int have = 0;
        while (ioctl(members[i].fd, FIONREAD, &have) == 0 && have < bytes) {
            if (now_ns() > limit) return false;
            nanosleep(&nap, NULL);
        }
    }
    took = now_ns() - began;
    return true;
}

static bool publish_slice(int count, int frame) {
    for (int i = 1; i <= count; i++) {
        publish(rooms[0].publisher);
        if (!wait_for(i * frame)) return false;
    }
    return true;
}

static bool read_all(void) {
    uint64_t limit = now_ns() + PATIENCE;
    while (!all_done() && now_ns() < limit) turn(100);
    return all_done();
}

// Returns false if the server stopped sending.
bool run_buffered(void) {
    int frame = (int)options.size + (options.size < 126 ? 2 : 4), slice = ROOM / (frame + 1000);  // at most 64
    if (slice < 1) slice = 1;
    prctl(PR_SET_TIMERSLACK, 1);
    bool began = false, going = true;
    for (double measured = -options.warm; going && measured < options.seconds;) {
        bool counts = measured >= 0;
        if (counts && !began) began = true, figures_begin();
        else if (counts) figures_pause(false);
        uint64_t begin = now_ns();
        going = publish_slice(slice, frame);
        measured += (double)(now_ns() - begin) * 1e-9;
        if (counts) figures_pause(true);
        going = going && read_all();
    }
    if (began) figures_end();
    if (!going) count_unfinished(true);
    return going;
}
