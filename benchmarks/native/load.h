// The load generator's parts, and the words that they share.
#pragma once
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { STAMP = 32 };  // letters of a stamp: publisher, number, and time of a message
enum { MOST_SERVERS = 16 };

struct options {
    int port, members, rooms, in_flight, window;
    size_t size;              // bytes of payload
    const char *path;         // of the upgrade request; %d stands for the room
    bool all;                 // every member publishes, not the first of its room alone
    bool json, deflate;       // a payload of JSON; offer permessage-deflate
    bool tls, text;           // the connections are TLS; messages are text
    bool idle, buffer;        // hold the connections only; let the kernel keep what arrives
    bool accept;              // open and close them over and over, and nothing else
    double seconds, warm;     // measured, and before it
    double churn, stalled;    // shares of the members: that come and go in a second, that never read
    double pace;              // seconds between two messages at the least
    pid_t servers[MOST_SERVERS];  // processes whose CPU time is measured, behind them 0
    bool signal;              // tell the first with SIGUSR2 when measuring begins and ends
};

struct member {
    int fd, room;             // fd is -1 when closed
    struct ssl_st *tls;       // NULL without TLS
    int publisher;            // its number among the room's publishers, -1 for none
    enum { CLOSED, UPGRADING, GREETING, WAITING, COUNTED, STALLED } state;
    uint8_t step;             // of the dialect's greeting
    char *answer;             // to the upgrade, while it arrives
    size_t answer_size;
    // the frame that is arriving
    uint8_t head[14], head_size;
    bool in_body, packed;     // packed: compressed, RSV1
    uint8_t opcode;
    uint64_t left, length;
    char text[256];           // how its body begins
    size_t text_size;
    char stamp[STAMP];
    int stamp_size;           // -1: no stamp begun
    bool stamped;             // `stamp` is whole and not delivered yet
    bool inflates;            // this one checks what the others only count
    // what it has and has not been given
    uint32_t *expected, *from;  // by publisher: the next number; the first number that it counts for
    uint64_t position, gaps;    // in the room's order; messages skipped so far
    // what the kernel did not take yet
    uint8_t *out;
    size_t out_size;
};

struct message {
    uint32_t recipients, got;
    uint64_t sent_at;  // ns
};

struct publisher {
    struct room *room;
    struct member *member;
    bool due;                 // it may publish
    uint32_t sent, done;      // numbers: the next one, and the oldest that is still under way
    struct message *ring;
};

struct room {
    int counted, publishers;
    struct publisher *publisher;
    uint64_t *order, end;     // a ring of what was delivered, in the order of whoever had it first
};

struct totals {
    uint64_t messages, deliveries, wire_bytes, reads, turns, full_turns;
};

struct accepts {
    uint64_t count;           // connections that were opened
    double wall, load_cpu;    // seconds while they were
    double cpu, closing;      // seconds of the server's CPU: for opening them, and for their end
};

struct faults {
    uint64_t lost, duplicates, out_of_order, damaged, disconnected, unfinished;
};

struct dialect {
    const char *name, *path;
    bool text;                // frames are text
    bool exact;               // a frame is one payload and nothing else
    const char *const *greeting;  // pairs: what must arrive, what to send then; %d is the room
    const char *before, *after;   // around a payload; %d is the room, %z the payload's size
};

extern struct options options;
extern const struct dialect *dialect;
extern struct member *members;
extern struct room *rooms;
extern struct totals totals;
extern struct faults faults;
extern struct accepts accepts;
extern int poll_fd, ready, cut_off;  // cut_off: stalled members whom the server gave up
extern uint64_t last_arrival;  // ns
extern bool measuring, negotiated;

// load.c
uint64_t now_ns(void);
double since(uint64_t begin);  // seconds
double load_cpu(void);        // seconds
void turn(int timeout);
void die(const char *what) __attribute__((noreturn));   // with what errno says
void stop(const char *what) __attribute__((noreturn));  // without

// accept.c
void open_all(void);
void run_accepts(void);

// tls.c
bool tls_begin(void);  // false: built without OpenSSL
void tls_open(struct member *m);
void tls_close(struct member *m);
void tls_arrived(struct member *m, const void *data, size_t size);
ssize_t tls_read(struct member *m, void *data, size_t size);         // as recv(), from what has arrived
ssize_t tls_write(struct member *m, const void *data, size_t size);  // as send(), but that the handshake comes first
const char *tls_described(void);

// dialect.c
const struct dialect *find_dialect(const char *name);
size_t wrap(char *out, size_t limit, const char *form, int room, size_t size);

// client.c
void open_member(int index);
void close_member(struct member *m, bool kindly);
void read_member(struct member *m);
void write_member(struct member *m, const void *data, size_t size);
void flush_member(struct member *m);
void heard(struct member *m);
void send_frame(struct member *m, uint8_t opcode, const void *data, size_t size);

// frames.c
void take_bytes(struct member *m, const uint8_t *data, size_t size);

// inflate.c
bool inflate_begin(void);  // false: built without zlib
bool inflate_stamp(const uint8_t *data, size_t size, char *stamp);

// stamp.c
void fill_payload(char *out, size_t size, uint32_t number);
void write_stamp(char *out, uint32_t publisher, uint32_t number, uint64_t at);
void read_stamp(const char *in, uint32_t *publisher, uint32_t *number, uint64_t *at);

// ledger.c
void ledger_begin(void);
void publish_due(void);
void publish(struct publisher *p);
void all_due(void);
void joined(struct member *m);
void delivered(struct member *m, uint32_t publisher, uint32_t number, uint64_t sent_at);
void delivered_unread(struct member *m);
void gone(struct member *m, bool expected);
bool all_done(void);
void count_unfinished(bool silent);

// figures.c
void note_delivery(uint64_t ns);
void note_recipient(const struct message *message, uint64_t at);
void figures_begin(void);
void figures_pause(bool paused);
void figures_end(void);
void figures_print(bool finished);
void accepts_print(void);
double server_cpu(void);  // seconds, 0 if nobody's is measured

// buffered.c
bool run_buffered(void);
