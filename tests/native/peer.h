// What arrives at the other end of one connection, and what must be true of it.
#ifndef HUBBUB_PEER_H
#define HUBBUB_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FAIL(...) (fprintf(stderr, "FAILED %s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

enum {
    CHANNELS = 4,
    AUTHORS = 8,
    STAYS = 64,          // memberships of one connection in one channel, one after the other
    FRAME_SIZE = 40000,  // bytes at most
};

// The first byte of every frame. Below CHANNELS: broadcast to that channel.
enum { DIRECT = 0x40, LAST, PONG, PING };

typedef struct head {
    uint8_t tag, author;
    uint16_t magic;
    uint32_t size;             // bytes, these included
    uint64_t number;           // of the channel's messages, or of the author's
    uint64_t connection;       // that it was written to; 0 if broadcast
    uint64_t marks[CHANNELS];  // the author's latest broadcast to each channel before this, which may not come later
} head;

typedef struct stay {
    uint64_t first, last;  // numbers of the messages for one membership; `last` is UINT64_MAX while it lasts
} stay;

typedef struct peer {
    uint64_t connection;
    unsigned slot;
    bool lossless;  // its policy drops nothing and leaves it connected
    pthread_mutex_t lock;  // guards the stays
    stay stays[CHANNELS][STAYS];
    unsigned stay_count[CHANNELS];

    uint64_t seen[CHANNELS], authors[AUTHORS];
    uint64_t broadcasts, directs;  // that have come
    bool ended;                    // the last frame has
    size_t filled;
    unsigned char partial[FRAME_SIZE];
} peer;

// Whether that message of a channel is not for that slot: a rule that sender and checker share.
static inline bool excludes(unsigned slot, uint64_t number) { return number % 7 == 3 && slot % 5 == number % 5; }

// Fills in a whole frame.
void write_frame(unsigned char *to, head head);
// Checks what came in. Aborts with a message if it is not right.
void peer_reads(peer *peer, const unsigned char *data, size_t size);
// How many broadcasts its memberships were to bring.
uint64_t peer_expects(peer *peer);

#endif
