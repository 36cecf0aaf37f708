// The floor: the least that any server can do for one room, a bare loop of send().
//
//   floor PORT MEMBERS
//
// Accepts MEMBERS connections, answers the benchmark's fixed key, and sends every message that
// connection 0 publishes to all of them, one send() per message and member: nothing is parsed beyond
// the frame's length, nothing is locked, nothing can fail but the process.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_all(int fd, const uint8_t *data, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, 1000);
        } else {
            exit(0);  // the reader has what it wants
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: floor PORT MEMBERS\n");
        return 2;
    }
    int members = atoi(argv[2]), one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 4096) < 0) die("listen");
    puts("ready");
    fflush(stdout);

    int *fds = malloc(sizeof(int) * (size_t)members);
    static uint8_t in[1 << 20], out[1 << 20];
    for (int i = 0; i < members; i++) {
        fds[i] = accept4(listener, NULL, NULL, 0);
        if (fds[i] < 0) die("accept");
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (read(fds[i], in, sizeof in) <= 0) die("handshake");
        send_all(fds[i], (const uint8_t *)answer, sizeof answer - 1);
        // From here on a full socket must be seen, not slept in.
        struct timeval none = {0};
        setsockopt(fds[i], SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
    }
    size_t have = 0;
    for (;;) {
        ssize_t n = read(fds[0], in + have, sizeof in - have);
        if (n <= 0) return 0;
        have += (size_t)n;
        size_t at_byte = 0;
        while (have - at_byte >= 2) {
            const uint8_t *p = in + at_byte;
            size_t length = p[1] & 127, head = 2;
            if (length == 126) {
                if (have - at_byte < 4) break;
                length = (size_t)p[2] << 8 | p[3], head = 4;
            } else if (length == 127) {
                if (have - at_byte < 10) break;
                length = 0;
                for (int i = 0; i < 8; i++) length = length << 8 | p[2 + i];
                head = 10;
            }
            if (have - at_byte < head + 4 + length) break;
            memcpy(out, p, head);
            out[1] &= 127;
            memcpy(out + head, p + head + 4, length);  // the reader's mask is zeros
            for (int i = 0; i < members; i++) send_all(fds[i], out, head + length);
            at_byte += head + 4 + length;
        }
        memmove(in, in + at_byte, have - at_byte);
        have -= at_byte;
    }
}
