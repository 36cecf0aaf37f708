// Clients that only buffer: what arrives waits in the kernel while it is measured, so that the server
// may have every core. One message at a time: the next is published when a sample of the members,
// every 16th, holds all bytes of the last one. In between, unmeasured, everything is read and checked.
#include "load.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>

enum { SAMPLE = 16, ROOM = 64 * 1024 };  // bytes that surely fit into a socket that nobody reads


static bool wait_for(int bytes) {
    struct timespec nap = {.tv_nsec = 20000};
    uint64_t limit = now_ns() + 10000000000u;
    for (int i = options.members - 1; i >= 0; i -= SAMPLE) {
        int have = 0;
        while (ioctl(members[i].fd, FIONREAD, &have) == 0 && have < bytes) {
            if (now_ns() > limit) return false;
            nanosleep(&nap, NULL);
        }
    }
    return true;
}

// Returns false if the server stopped sending.
bool run_buffered(void) {
    int frame = (int)options.size + (options.size < 126 ? 2 : 4), slice = ROOM / (frame + 1000);  // no more than 64
    if (slice < 1) slice = 1;
    prctl(PR_SET_TIMERSLACK, 1);
    uint64_t end = now_ns() + (uint64_t)((options.warm + options.seconds) * 1e9), warm = now_ns() + (uint64_t)(options.warm * 1e9);
    bool began = false;
    while (now_ns() < end) {
        if (!began && now_ns() >= warm) began = true, figures_begin();
        else if (began) figures_pause(false);
        for (int i = 1; i <= slice; i++) {
            publish(rooms[0].publisher);
            if (!wait_for(i * frame)) return false;
        }
        if (began) figures_pause(true);
        uint64_t limit = now_ns() + 10000000000u;
        while (!all_done() && now_ns() < limit) turn(100);
        if (!all_done()) return false;
    }
    figures_end();
    return true;
}
