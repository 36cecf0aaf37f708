/* The parser of one connection: RFC 6455, sections 5 to 8. The twin of wire/reader.py, which is its specification.
 *
 * It takes whatever one read brought and gives item after item. It allocates only while a frame or a message is
 * unfinished, after the limits were judged, and never more than twice what has come of it. It inflates nothing: the
 * caller does, and gives the result back. It knows no Python, no lock and no clock; one thread at a time uses it.
 */
#ifndef HUBBUB_CODEC_H
#define HUBBUB_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mask.h"
#include "utf8.h"

enum { CODEC_HEAD = 14, CODEC_CONTROL = 125 }; /* bytes, at most, of a header and of a control frame's payload */

enum codec_opcode { CODEC_CONTINUATION = 0, CODEC_TEXT = 1, CODEC_BINARY = 2, CODEC_CLOSE = 8, CODEC_PING = 9,
                    CODEC_PONG = 10 };

enum codec_fault {
    CODEC_NO_FAULT,
    CODEC_RESERVED_BIT,
    CODEC_MESSAGE_IN_MESSAGE,
    CODEC_CONTINUATION_OF_NOTHING,
    CODEC_RESERVED_OPCODE,
    CODEC_FRAGMENTED_CONTROL,
    CODEC_UNMASKED,
    CODEC_LONG_CONTROL,
    CODEC_LENGTH_OF_64_BITS,
    CODEC_LENGTH_NOT_SHORTEST,
    CODEC_MANY_FRAGMENTS,
    CODEC_TOO_BIG,
    CODEC_NOT_UTF8,
    CODEC_INFLATED_NOT_UTF8,
    CODEC_INFLATED_TOO_BIG,
    CODEC_NO_MEMORY, /* ours, not the peer's */
};

enum codec_kind {
    CODEC_MORE,     /* everything was taken in, and completes nothing further */
    CODEC_WHOLE,    /* a message that lies in the read as one frame: `data`, still masked with `key` */
    CODEC_PIECE,    /* a part of a compressed message, likewise: inflate it and call codec_inflated */
    CODEC_MESSAGE,  /* a message that came in parts: it is in `unfinished` until codec_end_message */
    CODEC_CONTROL_FRAME, /* `control` holds `size` bytes of `opcode` */
    CODEC_FAULTY,   /* the peer's fault: nothing after it may be read */
};

/* What has begun and not ended. */
struct codec_unfinished {
    /* a message */
    uint8_t *data;
    size_t size, room;     /* bytes in use and allocated of `data` */
    int64_t fragments;     /* frames that have begun */
    struct utf8 utf8;      /* where a text stands */
    bool in_message, text, compressed, more_than_ascii;
    /* a frame, which may be a control frame within that message */
    bool in_frame, fin;
    uint8_t opcode;
    uint8_t key[4];        /* turned to the next byte */
    uint8_t control_size;
    uint64_t left;         /* bytes of the payload still to come */
    uint8_t control[CODEC_CONTROL];
};

struct codec {
    int64_t max_message_size; /* bytes of a message, inflated, and of one frame as sent */
    int64_t max_fragments;    /* frames of a message */
    struct codec_unfinished *unfinished;
    uint8_t head[CODEC_HEAD]; /* the beginning of a header */
    uint8_t head_size;
    bool deflates;            /* compressed messages were agreed on */
};

struct codec_item {
    const uint8_t *data;
    size_t size;
    uint8_t key[4];
    uint8_t opcode;
    enum codec_fault fault;
    uint8_t control[CODEC_CONTROL];
};

/* The next item of a read. `at` is how much of it was taken in; call again, until CODEC_MORE or CODEC_FAULTY. */
enum codec_kind codec_next(struct codec *codec, const uint8_t *data, size_t size, size_t *at, struct codec_item *item);

/* How many bytes the message that is being inflated may still get. */
int64_t codec_room(const struct codec *codec);

/* Add what a piece was inflated to. More than there is room for is a fault, after the text in that room was judged:
 * what comes first in the stream is what is named. */
enum codec_fault codec_inflated(struct codec *codec, const uint8_t *data, size_t size);

/* Whether the text that ends here is not cut off within a character. */
bool codec_text_is_whole(const struct codec *codec);

/* Forget the message that CODEC_MESSAGE gave. */
void codec_end_message(struct codec *codec);

/* Free everything. */
void codec_clear(struct codec *codec);

#endif
