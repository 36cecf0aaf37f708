// The floor: the least that any server can do for a room, a bare loop of send().
//
//   floor PORT [join] [threads]
//
// Takes the load's connections, answers the benchmark's fixed key, puts each into the room that its
// path names, and sends every message to all of the room, one send() per message and member. Nothing
// is parsed beyond a frame's length, nothing is queued, and a full socket is waited for.
//
//   join     what has arrived for a room leaves in one send() per member: the best that a loop can do
//   threads  a second thread serves every other member of the room (one room only)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 65536, ROOMS = 65536, WAITING = 1 << 21 };

static const char answer[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct connection {
    bool upgraded;
    int room, index;  // -1: an echo, which is nobody's room; its place in the room
    uint8_t *kept;    // the beginning of a frame or of a request
    size_t kept_size;
};

struct room {
    int *fds, count, size;
    uint8_t *out;  // what has arrived in this turn, when joining
    size_t out_size, out_room;
    bool dirty;
};

static struct connection connections[CONNECTIONS];
static struct room rooms[ROOMS];
static int dirty[ROOMS], dirty_count, poll_fd, threads = 1;
static bool join;

// What waits for the second thread.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint8_t *waiting, *taken;
static size_t waiting_size;

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_all(int fd, const uint8_t *data, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, 1000);
        } else {
            return;  // it has gone, and its end will be read
        }
    }
}

static size_t long_length(const uint8_t *p) {
    uint64_t length;
    memcpy(&length, p + 2, sizeof length);
    return (size_t)be64toh(length);
}

static size_t server_frame_size(const uint8_t *p) {
    size_t length = p[1] & 127;
    if (length == 126) return 4 + ((size_t)p[2] << 8 | p[3]);
    return length < 126 ? 2 + length : 10 + long_length(p);
}

// The second thread's half: what waits, frame by frame, or all of it at once when joining.
static void *serve_half(void *unused) {
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!waiting_size) pthread_cond_wait(&changed, &lock);
        uint8_t *data = waiting;
        size_t size = waiting_size;
        waiting = taken, taken = data, waiting_size = 0;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        for (size_t at = 0, step; at < size; at += step) {
            step = join ? size : server_frame_size(data + at);
            for (int i = 1; i < rooms[0].count; i += 2) send_all(rooms[0].fds[i], data + at, step);
        }
    }
    return unused;
}

static void hand_over(const uint8_t *data, size_t size) {
    pthread_mutex_lock(&lock);
    while (waiting_size + size > WAITING) pthread_cond_wait(&changed, &lock);
    memcpy(waiting + waiting_size, data, size);
    waiting_size += size;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void to_room(struct room *room, const uint8_t *data, size_t size) {
    if (threads > 1) hand_over(data, size);
    for (int i = 0; i < room->count; i += threads) send_all(room->fds[i], data, size);
}

static void post(int number, const uint8_t *data, size_t size) {
    struct room *room = &rooms[number];
    if (!join) {
        to_room(room, data, size);
        return;
    }
    if (room->out_size + size > room->out_room) {
        room->out_room = (room->out_size + size) * 2;
        room->out = realloc(room->out, room->out_room);
    }
    memcpy(room->out + room->out_size, data, size);
    room->out_size += size;
    if (!room->dirty) room->dirty = true, dirty[dirty_count++] = number;
}

// Gives on the first frame of the bytes, unmasked by leaving the mask out: the load's is zeros.
// Returns its size, 0 if it is not whole.
static size_t take_frame(int fd, struct connection *c, uint8_t *p, size_t size) {
    if (size < 2) return 0;
    size_t length = p[1] & 127, head = length < 126 ? 2 : length == 126 ? 4 : 10;
    if (size < head) return 0;
    if (head == 4) length = (size_t)p[2] << 8 | p[3];
    if (head == 10) length = long_length(p);
    if (size < head + 4 + length) return 0;
    if (p[0] == 0x82) {
        memmove(p + 4, p, head);  // the head moves to the payload
        p[5] &= 127;
        if (c->room < 0) send_all(fd, p + 4, head + length);
        else post(c->room, p + 4, head + length);
    }
    return head + 4 + length;
}

static void enter(int fd, struct connection *c, const char *request) {
    c->upgraded = true, c->room = -1;
    if (sscanf(request, "GET /room/%d", &c->room) == 1 && c->room >= 0 && c->room < ROOMS) {
        struct room *room = &rooms[c->room];
        if (room->count == room->size) {
            room->size = room->size ? room->size * 2 : 16;
            room->fds = realloc(room->fds, sizeof *room->fds * (size_t)room->size);
        }
        c->index = room->count;
        room->fds[room->count++] = fd;
    }
    send_all(fd, (const uint8_t *)answer, sizeof answer - 1);
}

static void leave(int fd, struct connection *c) {
    if (c->upgraded && c->room >= 0) {
        struct room *room = &rooms[c->room];
        int last = room->fds[--room->count];
        room->fds[c->index] = last;
        connections[last].index = c->index;
    }
    free(c->kept);
    memset(c, 0, sizeof *c);
    close(fd);
}

static void serve(int fd) {
    static uint8_t in[1 << 21];
    struct connection *c = &connections[fd];
    if (c->kept_size) memcpy(in, c->kept, c->kept_size);
    ssize_t n = recv(fd, in + c->kept_size, sizeof in - 1 - c->kept_size, MSG_DONTWAIT);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) leave(fd, c);
        return;
    }
    size_t have = c->kept_size + (size_t)n, at = 0;
    if (!c->upgraded) {
        in[have] = 0;
        char *end = strstr((char *)in, "\r\n\r\n");
        if (end) at = (size_t)(end + 4 - (char *)in), enter(fd, c, (char *)in);
    }
    if (c->upgraded)
        for (size_t size; (size = take_frame(fd, c, in + at, have - at)); at += size) continue;
    c->kept_size = have - at;
    if (c->kept_size) c->kept = realloc(c->kept, c->kept_size), memcpy(c->kept, in + at, c->kept_size);
}

static void accept_all(int listener) {
    int one = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= CONNECTIONS) exit(1);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: floor PORT [join] [threads]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "join")) join = true;
        if (!strcmp(argv[i], "threads")) threads = 2;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 4096) < 0) die("listen");
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    pthread_t second;
    waiting = malloc(WAITING), taken = malloc(WAITING);
    if (threads > 1 && pthread_create(&second, NULL, serve_half, NULL)) die("thread");
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(poll_fd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) accept_all(listener);
            else serve(events[i].data.fd);
        }
        while (dirty_count) {
            struct room *room = &rooms[dirty[--dirty_count]];
            to_room(room, room->out, room->out_size);
            room->out_size = 0, room->dirty = false;
        }
    }
}
