#include "peer.h"

#include <string.h>

enum { MAGIC = 0x6875 };

static unsigned char filler(const head *head, size_t at) { return (unsigned char)(head->number * 31 + head->tag + at); }

void write_frame(unsigned char *to, head head) {
    head.magic = MAGIC;
    memcpy(to, &head, sizeof head);
    for (size_t at = sizeof head; at < head.size; at++) to[at] = filler(&head, at);
}

static void check_broadcast(peer *peer, const head *head) {
    uint64_t number = head->number, *seen = &peer->seen[head->tag];
    if (number <= *seen) FAIL("connection %lu: message %lu of channel %u after %lu", peer->connection, number, head->tag, *seen);
    if (excludes(peer->slot, number)) FAIL("connection %lu got message %lu, which excludes it", peer->connection, number);
    pthread_mutex_lock(&peer->lock);
    const stay *in = NULL;
    for (unsigned i = 0; i < peer->stay_count[head->tag]; i++) {
        const stay *stay = &peer->stays[head->tag][i];
        if (stay->first <= number && number <= stay->last) in = stay;
        if (!peer->lossless) continue;
        uint64_t between = *seen < stay->first ? stay->first : *seen + 1;
        for (; between < number && between <= stay->last; between++) {  // nothing is left out
            if (!excludes(peer->slot, between)) {
                FAIL("connection %lu: message %lu of channel %u is missing before %lu", peer->connection, between, head->tag, number);
            }
        }
    }
    pthread_mutex_unlock(&peer->lock);
    if (!in) FAIL("connection %lu got message %lu of channel %u, not being a member", peer->connection, number, head->tag);
    *seen = number;
    peer->broadcasts++;
}

static void check_direct(peer *peer, const head *head) {
    if (head->connection != peer->connection) {
        FAIL("connection %lu got what was written to %lu", peer->connection, head->connection);
    }
    for (unsigned channel = 0; channel < CHANNELS && peer->lossless && head->tag != PONG; channel++) {  // a pong may overtake
        if (peer->seen[channel] < head->marks[channel]) {
            FAIL("connection %lu: a write overtook message %lu of channel %u", peer->connection, head->marks[channel], channel);
        }
    }
    if (head->tag == LAST) {
        peer->ended = true;
    } else if (head->tag == DIRECT) {
        if (head->number <= peer->authors[head->author]) FAIL("connection %lu: author %u out of order", peer->connection, head->author);
        peer->authors[head->author] = head->number;
        peer->directs++;
    }
}

static size_t frame_size(const unsigned char *data, size_t size) {
    head head;
    if (size < sizeof head) return 0;
    memcpy(&head, data, sizeof head);
    if (head.magic != MAGIC || head.size < sizeof head || head.size > FRAME_SIZE) FAIL("a frame was cut or mixed with another");
    return head.size <= size ? head.size : 0;
}

static void check_frame(peer *peer, const unsigned char *data) {
    head head;
    memcpy(&head, data, sizeof head);
    for (size_t at = sizeof head; at < head.size; at++) {
        if (data[at] != filler(&head, at)) FAIL("connection %lu: a frame was mixed with another at byte %zu", peer->connection, at);
    }
    if (peer->ended) FAIL("connection %lu: a frame after the last", peer->connection);
    if (head.tag < CHANNELS) check_broadcast(peer, &head);
    else check_direct(peer, &head);
}

void peer_reads(peer *peer, const unsigned char *data, size_t size) {
    while (size) {
        size_t more = size < sizeof peer->partial - peer->filled ? size : sizeof peer->partial - peer->filled;
        memcpy(peer->partial + peer->filled, data, more);
        peer->filled += more;
        data += more;
        size -= more;
        size_t at = 0;
        for (size_t frame; (frame = frame_size(peer->partial + at, peer->filled - at)); at += frame) check_frame(peer, peer->partial + at);
        memmove(peer->partial, peer->partial + at, peer->filled -= at);
    }
}

uint64_t peer_expects(peer *peer) {
    uint64_t count = 0;
    for (unsigned channel = 0; channel < CHANNELS; channel++) {
        for (unsigned i = 0; i < peer->stay_count[channel]; i++) {
            const stay *stay = &peer->stays[channel][i];
            for (uint64_t number = stay->first; number <= stay->last; number++) count += !excludes(peer->slot, number);
        }
    }
    return count;
}
