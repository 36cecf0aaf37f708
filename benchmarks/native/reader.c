// The load of every benchmark: N WebSocket clients and one publisher, on one thread with epoll.
//
//   reader PORT MEMBERS PAYLOAD_BYTES IN_FLIGHT SECONDS [PATH]
//
// Connection 0 publishes binary messages of PAYLOAD_BYTES; the server sends each one to all
// connections, the publisher included. IN_FLIGHT messages are kept under way: the next is
// published when all members have all bytes of the oldest one. Since every frame has the same
// length, a delivery is frame_length bytes, and counting bytes suffices. Prints one JSON object.
//
// Connections come from several 127/8 addresses, since one address has about 28,000 ports.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    fprintf(stderr, "reader: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_member(int port, int index, const char *path) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(index / 20000));
    int one = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char head[512];
    int n = snprintf(head, sizeof head,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     path, port);
    if (write(fd, head, (size_t)n) != n) die("handshake");
    return fd;
}

// Reads the answer. Nothing follows it yet, for nobody has published.
static void read_answer(int fd) {
    char answer[2048];
    size_t got = 0;
    while (got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4) != 0) {
        ssize_t n = read(fd, answer + got, sizeof answer - got);
        if (n <= 0 || (got += (size_t)n) == sizeof answer) die("answer");
    }
    if (strncmp(answer, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "reader: refused: %.60s\n", answer);
        exit(1);
    }
}

static size_t client_frame(uint8_t *out, size_t payload) {
    size_t n = 0;
    out[n++] = 0x82;
    if (payload < 126) {
        out[n++] = (uint8_t)(0x80 | payload);
    } else if (payload < 65536) {
        out[n++] = 0x80 | 126;
        out[n++] = (uint8_t)(payload >> 8);
        out[n++] = (uint8_t)payload;
    } else {
        out[n++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) out[n++] = (uint8_t)((uint64_t)payload >> shift);
    }
    memset(out + n, 0, 4);  // a mask of zeros: legal, and the payload can be sent as it is
    n += 4;
    memset(out + n, 'x', payload);
    return n + payload;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: reader PORT MEMBERS PAYLOAD_BYTES IN_FLIGHT SECONDS [PATH]\n");
        return 2;
    }
    int port = atoi(argv[1]), members = atoi(argv[2]);
    size_t payload = (size_t)atol(argv[3]);
    uint64_t in_flight = (uint64_t)atol(argv[4]);
    double seconds = atof(argv[5]);
    const char *path = argc > 6 ? argv[6] : "/";
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    size_t frame = payload + (payload < 126 ? 2 : payload < 65536 ? 4 : 10);
    uint8_t *message = malloc(payload + 16), *buffer = malloc(1 << 20);
    size_t message_size = client_frame(message, payload);
    int *fds = malloc(sizeof(int) * (size_t)members), poll = epoll_create1(0);
    double started = now();
    for (int i = 0; i < members; i++) {
        fds[i] = open_member(port, i, path);
        if (i % 100 == 99)  // stay within the listener's backlog
            for (int j = i - 99; j <= i; j++) read_answer(fds[j]);
    }
    for (int j = members - members % 100; j < members; j++) read_answer(fds[j]);
    double accepted = now() - started;
    for (int i = 0; i < members; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
    }
    usleep(300000);

    uint64_t bytes = 0, sent = 0, warm_bytes = 0, reads = 0, round = (uint64_t)members * frame;
    double begin = now(), warm = begin + 0.5, end = warm + seconds, measured_from = 0, last = begin;
    struct epoll_event events[1024];
    for (;;) {
        double t = now();
        if (!measured_from && t >= warm) measured_from = t, warm_bytes = bytes;
        if (t >= end) break;
        if (t - last > 10) {
            fprintf(stderr, "reader: nothing arrived for 10 s (%llu of %llu bytes)\n", (unsigned long long)bytes,
                    (unsigned long long)(sent * round));
            return 1;
        }
        while (sent - bytes / round < in_flight) {
            if (write(fds[0], message, message_size) != (ssize_t)message_size) die("publish");
            sent++;
        }
        int n = epoll_wait(poll, events, 1024, 100);
        for (int i = 0; i < n; i++) {
            ssize_t got = read(events[i].data.fd, buffer, 1 << 20);
            if (got <= 0) die("a member was disconnected");
            bytes += (uint64_t)got;
            reads++;
            last = t;
        }
    }
    double elapsed = now() - measured_from;
    printf("{\"deliveries_per_s\": %.0f, \"deliveries\": %.0f, \"seconds\": %.3f, \"accepted_per_s\": %.0f, \"reads\": %llu}\n",
           (double)(bytes - warm_bytes) / (double)frame / elapsed, (double)(bytes - warm_bytes) / (double)frame, elapsed,
           members / accepted, (unsigned long long)reads);
    return 0;
}
