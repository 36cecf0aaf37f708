// One member's connection: opening it, its greeting, reading and writing.
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ADDRESSES = 8, ANSWER = 4096 };

static void watch(struct member *m, int operation, uint32_t events) {
    struct epoll_event event = {.events = events | EPOLLET, .data.ptr = m};
    if (epoll_ctl(poll_fd, operation, m->fd, &event) < 0) die("epoll_ctl");
}

// Connects from one of several addresses, since each has only some 28,000 ports, and asks for the upgrade.
void open_member(int index) {
    struct member *m = &members[index];
    m->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (m->fd < 0) die("socket");
    int one = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(index % ADDRESSES));
    setsockopt(m->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(m->fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
    if (index >= options.members - (int)(options.stalled * options.members)) {
        // It will not read: small buffers, and segments of a real network's size (loopback's 64 KB give the server
        // a send buffer of megabytes), so that this is felt at once.
        int segment = 1448, buffer = 16 * 1024;
        setsockopt(m->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
        setsockopt(m->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(m->fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    m->state = UPGRADING, m->step = 0;
    m->answer = malloc(ANSWER), m->answer_size = 0;
    if (options.tls) tls_open(m);
    m->head_size = 0, m->in_body = m->stamped = false, m->text_size = 0, m->stamp_size = -1;
    watch(m, EPOLL_CTL_ADD, EPOLLIN);
    char path[256], head[1024];
    wrap(path, sizeof path, options.path, m->room, 0);
    int n = snprintf(head, sizeof head,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     path, options.port,
                     options.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
    write_member(m, head, (size_t)n);
}

void close_member(struct member *m, bool kindly) {
    if (m->fd < 0) return;
    if (kindly) {
        send_frame(m, 0x88, "\x03\xe8", 2);
    } else {  // a reset leaves no port behind in TIME_WAIT
        struct linger at_once = {.l_onoff = 1};
        setsockopt(m->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    if (m->tls) tls_close(m);
    close(m->fd);
    free(m->answer), free(m->out);
    m->fd = -1, m->state = CLOSED;
    m->answer = NULL, m->out = NULL, m->out_size = 0;
}

static void became_ready(struct member *m) {
    m->state = WAITING;
    ready++;
    joined(m);
}

// The next thing to say, if what it waits for has come. `text` is the beginning of a message.
static void greet(struct member *m, const char *text) {
    const char *const *step = dialect->greeting + m->step;
    if (!*step || !strstr(text, *step)) return;
    if (!step[1]) {
        became_ready(m);
        return;
    }
    char say[512];
    size_t n = wrap(say, sizeof say, step[1], m->room, 0);
    m->step += 2;
    send_frame(m, dialect->text ? 0x81 : 0x82, say, n);
    if (!dialect->greeting[m->step]) became_ready(m);
}

void heard(struct member *m) {
    m->text[m->text_size] = 0;
    if (m->state == GREETING) greet(m, m->text);
}

// Takes the head of the answer. Returns how many of the bytes belonged to it.
static size_t read_answer(struct member *m, const uint8_t *data, size_t size) {
    size_t had = m->answer_size, room = ANSWER - 1 - had, n = size < room ? size : room;
    memcpy(m->answer + had, data, n);
    m->answer_size += n;
    m->answer[m->answer_size] = 0;
    char *end = strstr(m->answer, "\r\n\r\n");
    if (!end) {
        if (m->answer_size == ANSWER - 1) stop("an answer without an end");
        return n;
    }
    if (strncmp(m->answer, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "load: refused: %.*s\n", (int)strcspn(m->answer, "\r"), m->answer);
        exit(1);
    }
    if (strcasestr(m->answer, "permessage-deflate")) negotiated = true;
    size_t used = (size_t)(end + 4 - m->answer) - had;
    m->state = GREETING;
    if (!*dialect->greeting) became_ready(m);
    else greet(m, "");
    return used;
}

static void take(struct member *m, const uint8_t *data, size_t size) {
    size_t used = m->state == UPGRADING ? read_answer(m, data, size) : 0;
    if (used < size) take_bytes(m, data + used, size - used);
}

// Takes what has arrived over TLS; and when that was the end of the handshake, the request can go.
static void take_tls(struct member *m, const uint8_t *data, size_t size) {
    static uint8_t plain[16 * 1024];  // a record at most
    ssize_t n = 0;
    tls_arrived(m, data, size);
    while (m->fd >= 0 && (n = tls_read(m, plain, sizeof plain)) > 0) take(m, plain, (size_t)n);
    if (m->fd < 0) return;
    if (n == 0 || errno != EAGAIN) gone(m, false);
    else if (m->out_size) flush_member(m);
}

// Reads what is there. A read that does not fill the buffer has emptied the socket, and the next
// arrival will be told (the events are edge-triggered).
void read_member(struct member *m) {
    static uint8_t buffer[256 * 1024];
    for (ssize_t n = sizeof buffer; n == sizeof buffer && m->fd >= 0;) {
        n = recv(m->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            gone(m, false);
            return;
        }
        totals.reads++;
        totals.wire_bytes += (uint64_t)n;
        last_arrival = now_ns();
        m->tls ? take_tls(m, buffer, (size_t)n) : take(m, buffer, (size_t)n);
    }
}

static ssize_t hand_over(struct member *m, const void *data, size_t size) {
    return m->tls ? tls_write(m, data, size) : send(m->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// Sends what the kernel takes, and keeps the rest for `flush_member`.
void write_member(struct member *m, const void *data, size_t size) {
    size_t sent = 0;
    if (!m->out_size) {
        ssize_t n = hand_over(m, data, size);
        if (n < 0 && errno != EAGAIN) return;  // its end will be read
        sent = n < 0 ? 0 : (size_t)n;
    }
    if (sent == size) return;
    if (!m->out_size) watch(m, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    m->out = realloc(m->out, m->out_size + size - sent);
    memcpy(m->out + m->out_size, (const uint8_t *)data + sent, size - sent);
    m->out_size += size - sent;
}

void flush_member(struct member *m) {
    while (m->out_size) {
        ssize_t n = hand_over(m, m->out, m->out_size);
        if (n <= 0) return;
        m->out_size -= (size_t)n;
        memmove(m->out, m->out + n, m->out_size);
    }
    watch(m, EPOLL_CTL_MOD, EPOLLIN);
}

// A whole frame, masked with zeros: legal, and the payload goes as it is.
void send_frame(struct member *m, uint8_t opcode, const void *data, size_t size) {
    static uint8_t out[(1 << 20) + 14];
    if (size > 1 << 20) stop("a message of more than 1 MiB");
    size_t n = 0;
    out[n++] = opcode;
    if (size < 126) {
        out[n++] = (uint8_t)(0x80 | size);
    } else if (size < 65536) {
        out[n++] = 0x80 | 126;
        out[n++] = (uint8_t)(size >> 8);
        out[n++] = (uint8_t)size;
    } else {
        out[n++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) out[n++] = (uint8_t)((uint64_t)size >> shift);
    }
    memset(out + n, 0, 4);
    memcpy(out + n + 4, data, size);
    write_member(m, out, n + 4 + size);
}
