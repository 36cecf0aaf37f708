// Opening: what a server needs to accept connections and to answer their upgrade, with TLS's handshake if asked for.
// It still works when the last answer has come, so its CPU time is read when it has become quiet.
#include "load.h"

#include <stdlib.h>

struct accepts accepts;

static const double LONGEST_OPENING = 60, LONGEST_WAIT = 1;  // seconds
static const double LOOK = 0.01, QUIET = 0.05;               // so often, in seconds; share of a core

// Opens all members, so many at once.
static void open_members(void) {
    uint64_t begin = now_ns();
    ready = 0;
    for (int opened = 0; ready < options.members;) {
        while (opened < options.members && opened - ready < options.window) open_member(opened++);
        turn(100);
        if (faults.disconnected) stop("the server ended a connection that was being opened");
        if (since(begin) > LONGEST_OPENING) {
            fprintf(stderr, "load: only %d of %d connections were open after %.0f s\n", ready,
                    options.members, LONGEST_OPENING);
            exit(1);
        }
    }
}

static void wait_until_quiet(void) {
    double before = server_cpu(), now = before;
    uint64_t begin = now_ns();
    do {
        before = now;
        for (uint64_t look = now_ns(); since(look) < LOOK;) turn(1);
        now = server_cpu();
    } while (now - before > QUIET * LOOK && since(begin) < LONGEST_WAIT);
}

// Opens all members, and adds what that took to `accepts`.
void open_all(void) {
    uint64_t begin = now_ns();
    double own = load_cpu(), cpu = server_cpu();
    open_members();
    accepts.wall += since(begin);
    accepts.load_cpu += load_cpu() - own;
    wait_until_quiet();
    accepts.cpu += server_cpu() - cpu;
    accepts.count += (uint64_t)options.members;
}

static void close_all(void) {
    double cpu = server_cpu();
    for (int i = 0; i < options.members; i++) close_member(&members[i], false);
    wait_until_quiet();
    accepts.closing += server_cpu() - cpu;
}

// Opens and closes all members, again and again.
void run_accepts(void) {
    bool began = false;
    for (uint64_t begin = now_ns(); !began || since(begin) < options.warm + options.seconds;) {
        if (!began && since(begin) >= options.warm) {
            accepts = (struct accepts){0};
            began = true, figures_begin();
        }
        open_all();
        close_all();
    }
    figures_end();
}
