// The load of every benchmark: a thread with epoll that is all members and publishers of some rooms.
//
//   load --port P --members N --rooms R --size BYTES --in-flight K --seconds S ...
//
// Each publisher has K messages under way: it publishes the next when all members have its oldest one.
// Prints one JSON object. With --accept it only opens and closes the connections, over and over. With --idle it
// holds them until its standard input ends, having printed a line with what opening them took.
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct options options = {
    .members = 1000, .rooms = 1, .in_flight = 1, .window = 100, .size = 64, .seconds = 3, .warm = 0.5};
const struct dialect *dialect;
struct member *members;
struct room *rooms;
struct totals totals;
struct faults faults;
int poll_fd, ready, cut_off;
uint64_t last_arrival;
bool measuring, negotiated;

enum { BATCH = 256 };  // events taken at once
static bool input_ended;
static const double PATIENCE = 5, LONGEST_DRAIN = 15, SETTLING = 0.3;  // seconds

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double since(uint64_t begin) { return (double)(now_ns() - begin) * 1e-9; }

void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

void stop(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

// Handles what has arrived, waiting up to `timeout` milliseconds for something.
void turn(int timeout) {
    struct epoll_event events[BATCH];
    int n = epoll_wait(poll_fd, events, BATCH, timeout);
    totals.turns++;
    totals.full_turns += n == BATCH;
    for (int i = 0; i < n; i++) {
        struct member *m = events[i].data.ptr;
        if (!m) {
            char byte;
            if (read(0, &byte, 1) <= 0) input_ended = true, epoll_ctl(poll_fd, EPOLL_CTL_DEL, 0, NULL);
            continue;
        }
        if (m->fd >= 0 && events[i].events & EPOLLOUT) flush_member(m);
        if (m->fd >= 0 && events[i].events & ~(uint32_t)EPOLLOUT) read_member(m);
    }
}

// Some servers answer the upgrade before the connection is in its room.
static void settle_down(void) {
    for (uint64_t begin = now_ns(); since(begin) < SETTLING;) turn(50);
    int stalled = (int)(options.stalled * options.members);
    for (int i = options.members - stalled; i < options.members; i++) {
        epoll_ctl(poll_fd, EPOLL_CTL_DEL, members[i].fd, NULL);
        rooms[members[i].room].counted--;
        members[i].state = STALLED;
    }
}

// One member after the other leaves, and comes back as another connection. Returns the next to go.
static int churn(int next, double until_now, uint64_t *gone_so_far) {
    while ((double)*gone_so_far < until_now * options.churn * options.members) {
        struct member *m = &members[next];
        if (m->publisher < 0 && m->state == COUNTED) {
            gone(m, true);
            open_member(next);
        }
        ++*gone_so_far;
        next = (next + 1) % options.members;
    }
    return next;
}

// Returns false if the server stopped sending.
static bool run(void) {
    uint64_t begin = now_ns(), churned = 0, published = 0;
    int next = 0;
    bool began = false;
    last_arrival = begin;
    all_due();
    for (;;) {
        double t = since(begin);
        if (!began && t >= options.warm) began = true, figures_begin();
        if (t >= options.warm + options.seconds) break;
        if (since(last_arrival) > PATIENCE) break;
        if (options.churn > 0) next = churn(next, t, &churned);
        if (since(published) >= options.pace) published = now_ns(), publish_due();
        turn(options.churn > 0 || options.pace > 0 ? 1 : 20);
    }
    figures_end();
    bool finished = since(last_arrival) <= PATIENCE;
    for (uint64_t stop = now_ns(); !all_done();) {
        turn(20);
        if (since(last_arrival) > PATIENCE || since(stop) > LONGEST_DRAIN) break;
    }
    count_unfinished(since(last_arrival) > PATIENCE);
    return finished;
}

// Reads what the stalled members left lying, to see behind it whether the server has given them up.
static void wake_stalled(void) {
    static char buffer[256 * 1024];
    struct timespec nap = {.tv_nsec = 2000000};
    for (uint64_t begin = now_ns(), quiet = begin; since(begin) < PATIENCE && since(quiet) < SETTLING;) {
        for (int i = 0; i < options.members; i++) {
            if (members[i].state != STALLED) continue;
            ssize_t n = recv(members[i].fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (n < 0 && errno == EAGAIN) continue;
            quiet = now_ns();
            if (n <= 0) cut_off++, close_member(&members[i], false);
        }
        nanosleep(&nap, NULL);
    }
}

static void parse_servers(char *list) {
    int n = 0;
    for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
        if (n == MOST_SERVERS) stop("too many processes behind --server");
        options.servers[n++] = atoi(word);
    }
}

static void parse(int argc, char **argv) {
    enum { PORT = 1, MEMBERS, ROOMS, SIZE, IN_FLIGHT, WINDOW, PATH, DIALECT, SECONDS, WARM, CHURN, STALL, PACE, SERVER };
    static struct option names[] = {
        {"port", 1, 0, PORT}, {"members", 1, 0, MEMBERS}, {"rooms", 1, 0, ROOMS}, {"size", 1, 0, SIZE},
        {"in-flight", 1, 0, IN_FLIGHT}, {"window", 1, 0, WINDOW}, {"path", 1, 0, PATH}, {"dialect", 1, 0, DIALECT},
        {"seconds", 1, 0, SECONDS}, {"warm", 1, 0, WARM}, {"churn", 1, 0, CHURN}, {"stalled", 1, 0, STALL},
        {"pace", 1, 0, PACE}, {"server", 1, 0, SERVER}, {"all", 0, 0, 'a'}, {"json", 0, 0, 'j'}, {"deflate", 0, 0, 'd'},
        {"idle", 0, 0, 'i'}, {"buffer", 0, 0, 'b'}, {"signal", 0, 0, 's'}, {"tls", 0, 0, 'l'},
        {"text", 0, 0, 't'}, {"accept", 0, 0, 'c'}, {0, 0, 0, 0}};
    dialect = find_dialect("plain");
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (option) {
            case PORT: options.port = atoi(optarg); break;
            case MEMBERS: options.members = atoi(optarg); break;
            case ROOMS: options.rooms = atoi(optarg); break;
            case SIZE: options.size = (size_t)atol(optarg); break;
            case IN_FLIGHT: options.in_flight = atoi(optarg); break;
            case WINDOW: options.window = atoi(optarg); break;
            case PATH: options.path = optarg; break;
            case DIALECT: dialect = find_dialect(optarg); break;
            case SECONDS: options.seconds = atof(optarg); break;
            case WARM: options.warm = atof(optarg); break;
            case CHURN: options.churn = atof(optarg); break;
            case STALL: options.stalled = atof(optarg); break;
            case PACE: options.pace = atof(optarg) * 1e-3; break;
            case SERVER: parse_servers(optarg); break;
            case 'a': options.all = true; break;
            case 'j': options.json = true; break;
            case 'd': options.deflate = true; break;
            case 'i': options.idle = true; break;
            case 'b': options.buffer = true; break;
            case 's': options.signal = true; break;
            case 'l': options.tls = true; break;
            case 't': options.text = true; break;
            case 'c': options.accept = true; break;
            default: exit(2);
        }
    if (!dialect) stop("no such dialect: plain, socket.io, centrifuge or nats");
    if (options.buffer) options.in_flight = 64;  // what a slice may hold: see buffered.c
    if (!options.path) options.path = dialect->path;
    bool spread = options.all || options.rooms > 1;
    if (options.port < 1 || options.members < 1 || options.rooms < 1 || options.members % options.rooms)
        stop("--port, and --members divisible by --rooms");
    if (options.size < (options.json ? 256 : STAMP + 1) || options.size > 1 << 20)
        stop("--size is 33 (256 with --json) to 1048576");
    if (options.in_flight < 1 || options.in_flight > 65536 || options.window < 1)
        stop("--in-flight is 1 to 65536, and --window at least 1");
    if ((options.churn > 0 || options.deflate || options.buffer) && spread)
        stop("--churn, --deflate and --buffer go with one room and one publisher");
    if ((options.churn > 0 || options.buffer) && (options.deflate || !dialect->exact))
        stop("--churn and --buffer go with plain messages");
    if (options.buffer && options.tls) stop("--buffer goes without --tls: it counts bytes");
    if (options.signal && !options.servers[0]) stop("--signal needs --server");
}

int main(int argc, char **argv) {
    parse(argc, argv);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poll_fd = epoll_create1(0);
    ledger_begin();
    if (options.deflate && !inflate_begin())
        fprintf(stderr, "load: built without zlib: compressed messages are counted only\n");
    if (options.tls && !tls_begin()) stop("built without OpenSSL: no --tls");
    if (options.accept) {
        run_accepts();
        accepts_print();
        return 0;
    }
    if (options.idle) figures_begin();
    open_all();
    if (options.idle) {
        figures_end();
        accepts_print();
        fflush(stdout);
        struct epoll_event event = {.events = EPOLLIN};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &event);
        while (!input_ended) turn(1000);
        if (faults.disconnected) stop("the server ended an idle connection");
    } else {
        settle_down();
        bool finished = options.buffer ? run_buffered() : run();
        if (options.stalled > 0) wake_stalled();
        figures_print(finished);
    }
    for (int i = 0; i < options.members; i++) close_member(&members[i], false);
    return 0;
}
