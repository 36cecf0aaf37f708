#include "codec.h"

#include <stdlib.h>

/* A header as far as it has come. */
struct header {
    uint8_t first, opcode;
    uint8_t size;    /* bytes of the whole header; 0 for not yet */
    uint64_t length; /* bytes of the payload */
    const uint8_t *key;
};

static bool in_message(const struct codec *codec)
{
    return codec->unfinished && codec->unfinished->in_message;
}

/* Sections 5.2, 5.4 and 5.5; RFC 7692, section 6. */
static enum codec_fault judge_first(const struct codec *codec, uint8_t first, uint8_t opcode)
{
    bool begins = opcode == CODEC_TEXT || opcode == CODEC_BINARY;

    if (first & 0x30 || (first & 0x40 && !(codec->deflates && begins)))
        return CODEC_RESERVED_BIT;
    if (begins)
        return in_message(codec) ? CODEC_MESSAGE_IN_MESSAGE : CODEC_NO_FAULT;
    if (opcode == CODEC_CONTINUATION)
        return in_message(codec) ? CODEC_NO_FAULT : CODEC_CONTINUATION_OF_NOTHING;
    if (opcode < CODEC_CLOSE || opcode > CODEC_PONG)
        return CODEC_RESERVED_OPCODE;
    return first < 0x80 ? CODEC_FRAGMENTED_CONTROL : CODEC_NO_FAULT;
}

/* Before anything is allocated for it. The sum of sizes cannot overflow: what is in the buffer is within the limit. */
static enum codec_fault judge_length(const struct codec *codec, uint64_t length)
{
    int64_t before = 0;

    if (in_message(codec)) {
        if (codec->unfinished->fragments >= codec->max_fragments)
            return CODEC_MANY_FRAGMENTS;
        if (!codec->unfinished->compressed)
            before = (int64_t)codec->unfinished->size;
    }
    if (codec->max_message_size < before || length > (uint64_t)(codec->max_message_size - before))
        return CODEC_TOO_BIG;
    return CODEC_NO_FAULT;
}

/* The payload's length in `size` bytes of header. Returns where the key begins; 0 for not yet. */
static uint8_t read_length(const uint8_t *head, size_t size, uint64_t *length, enum codec_fault *fault)
{
    uint8_t wide = head[1] & 0x7F;

    *length = wide;
    if (wide < 126)
        return 2;
    wide = wide == 126 ? 2 : 8;
    if (wide == 8 && size > 2 && head[2] & 0x80) {
        *fault = CODEC_LENGTH_OF_64_BITS;
        return 0;
    }
    if (size < 2u + wide)
        return 0;
    *length = 0;
    for (uint8_t index = 0; index < wide; index++)
        *length = *length << 8 | head[2 + index];
    if (*length < (wide == 2 ? 126u : 65536u)) {
        *fault = CODEC_LENGTH_NOT_SHORTEST;
        return 0;
    }
    return 2 + wide;
}

/* Judge a header, of which `size` bytes are here, at least one, as far as it has come. */
static enum codec_fault read_header(const struct codec *codec, const uint8_t *head, size_t size, struct header *header)
{
    enum codec_fault fault;
    uint8_t key;

    header->size = 0;
    header->first = head[0];
    header->opcode = head[0] & 0x0F;
    fault = judge_first(codec, header->first, header->opcode);
    if (fault || size < 2)
        return fault;
    if (head[1] < 0x80)
        return CODEC_UNMASKED;
    if (header->opcode >= CODEC_CLOSE && (head[1] & 0x7F) > CODEC_CONTROL)
        return CODEC_LONG_CONTROL;
    key = read_length(head, size, &header->length, &fault);
    if (!key)
        return fault;
    if (header->opcode < CODEC_CLOSE) {
        fault = judge_length(codec, header->length);
        if (fault)
            return fault;
    }
    if (size >= key + 4u) {
        header->key = head + key;
        header->size = key + 4;
    }
    return CODEC_NO_FAULT;
}

static void release(struct codec *codec)
{
    if (codec->unfinished && !codec->unfinished->in_message && !codec->unfinished->in_frame) {
        free(codec->unfinished);
        codec->unfinished = NULL;
    }
}

/* Room for `size` more bytes: doubled, so that a message that comes byte by byte is copied a few times only, but
 * never above the limit, within which the caller knows the sum to be. */
static bool reserve(const struct codec *codec, struct codec_unfinished *message, size_t size)
{
    size_t needed = message->size + size, most = SIZE_MAX;
    size_t room = message->room > SIZE_MAX / 2 ? SIZE_MAX : message->room * 2;
    uint8_t *data;

    if (needed < size)
        return false;
    if (needed <= message->room)
        return true;
    if ((uint64_t)codec->max_message_size < SIZE_MAX)
        most = (size_t)codec->max_message_size;
    if (room > most)
        room = most;
    if (room < needed)
        room = needed;
    data = realloc(message->data, room);
    if (!data)
        return false;
    message->data = data;
    message->room = room;
    return true;
}

/* Keep a frame that did not come to its end, and the message it begins or goes on with. */
static bool begin_frame(struct codec *codec, const struct header *header)
{
    struct codec_unfinished *unfinished = codec->unfinished;

    if (!unfinished) {
        unfinished = codec->unfinished = calloc(1, sizeof *unfinished);
        if (!unfinished)
            return false;
    }
    unfinished->in_frame = true;
    unfinished->fin = header->first >= 0x80;
    unfinished->opcode = header->opcode;
    unfinished->left = header->length;
    unfinished->control_size = 0;
    memcpy(unfinished->key, header->key, 4);
    if (header->opcode >= CODEC_CLOSE)
        return true;
    if (!unfinished->in_message) {
        unfinished->in_message = true;
        unfinished->text = header->opcode == CODEC_TEXT;
        unfinished->compressed = header->first & 0x40;
        unfinished->more_than_ascii = false;
        unfinished->fragments = 0;
        unfinished->utf8 = (struct utf8){0};
    }
    unfinished->fragments++;
    return true;
}

/* Unmask into the message, judging text as it comes. */
static enum codec_fault append(const struct codec *codec, const uint8_t *data, size_t size)
{
    struct codec_unfinished *message = codec->unfinished;
    uint8_t *added, seen;

    if (!reserve(codec, message, size))
        return CODEC_NO_MEMORY;
    added = message->data + message->size;
    seen = mask_bytes(added, data, size, message->key);
    if (message->text && (seen & 0x80 || message->utf8.need)) {
        message->more_than_ascii = true;
        if (!utf8_goes_on(&message->utf8, added, size))
            return CODEC_NOT_UTF8;
    }
    message->size += size;
    return CODEC_NO_FAULT;
}

static enum codec_kind faulty(struct codec_item *item, enum codec_fault fault)
{
    item->fault = fault;
    return CODEC_FAULTY;
}

/* Take in more of the payload of the frame that has begun; `size` may be 0. */
static enum codec_kind go_on(struct codec *codec, const uint8_t *data, size_t size, size_t *at,
                             struct codec_item *item)
{
    struct codec_unfinished *frame = codec->unfinished;
    enum codec_kind kind = CODEC_MORE;
    uint8_t key[4];

    if (size > frame->left)
        size = (size_t)frame->left;
    if (size) {
        if (frame->opcode >= CODEC_CLOSE) {
            mask_bytes(frame->control + frame->control_size, data, size, frame->key);
            frame->control_size += (uint8_t)size; /* within 125, as the header was judged */
        } else if (frame->compressed) {
            item->data = data;
            item->size = size;
            memcpy(item->key, frame->key, 4);
            kind = CODEC_PIECE;
        } else {
            enum codec_fault fault = append(codec, data, size);
            if (fault)
                return faulty(item, fault);
        }
        memcpy(key, frame->key, 4);
        for (size_t index = 0; index < 4; index++)
            frame->key[index] = key[(index + size) & 3];
        frame->left -= size;
        *at += size;
    }
    if (frame->left || kind == CODEC_PIECE) /* a piece is inflated before its message may end */
        return kind;
    frame->in_frame = false;
    if (frame->opcode >= CODEC_CLOSE) {
        item->opcode = frame->opcode;
        item->size = frame->control_size;
        memcpy(item->control, frame->control, frame->control_size);
        release(codec);
        return CODEC_CONTROL_FRAME;
    }
    return frame->fin ? CODEC_MESSAGE : CODEC_MORE;
}

/* A frame of which all is here, if nothing of it needs to be kept: the usual case. CODEC_MORE if it is not so. */
static enum codec_kind whole(const struct codec *codec, const struct header *header, const uint8_t *payload,
                             size_t here, struct codec_item *item)
{
    if (header->length > here)
        return CODEC_MORE;
    item->opcode = header->opcode;
    item->size = (size_t)header->length;
    if (header->opcode >= CODEC_CLOSE) {
        mask_bytes(item->control, payload, item->size, header->key);
        return CODEC_CONTROL_FRAME;
    }
    if (header->first != (0x80 | header->opcode) || in_message(codec)) /* a fragment, or compressed */
        return CODEC_MORE;
    item->data = payload;
    memcpy(item->key, header->key, 4);
    return CODEC_WHOLE;
}

/* The next header, some bytes of which may have come before. Sets `header->size` to 0 if it is still not whole. */
static enum codec_fault take_header(struct codec *codec, const uint8_t *data, size_t size, size_t *at,
                                    struct header *header, uint8_t joined[CODEC_HEAD])
{
    const uint8_t *head = data + *at;
    size_t here = size - *at, before = codec->head_size;
    enum codec_fault fault;

    if (before) {
        if (here > CODEC_HEAD - before)
            here = CODEC_HEAD - before;
        memcpy(joined, codec->head, before);
        memcpy(joined + before, head, here);
        head = joined;
        here += before;
        codec->head_size = 0;
    }
    fault = read_header(codec, head, here, header);
    if (fault)
        return fault;
    if (header->size) {
        *at += header->size - before; /* a header that was not whole before needs at least one byte more */
    } else { /* then it is all that is here, and at most 13 bytes */
        memcpy(codec->head, head, here);
        codec->head_size = (uint8_t)here;
        *at = size;
    }
    return CODEC_NO_FAULT;
}

enum codec_kind codec_next(struct codec *codec, const uint8_t *data, size_t size, size_t *at, struct codec_item *item)
{
    struct header header;
    uint8_t joined[CODEC_HEAD];
    enum codec_fault fault;
    enum codec_kind kind;

    for (;;) {
        if (codec->unfinished && codec->unfinished->in_frame) {
            kind = go_on(codec, data + *at, size - *at, at, item);
            if (kind != CODEC_MORE || codec->unfinished->in_frame)
                return kind;
        }
        if (*at == size)
            return CODEC_MORE;
        fault = take_header(codec, data, size, at, &header, joined);
        if (fault)
            return faulty(item, fault);
        if (!header.size)
            return CODEC_MORE;
        kind = whole(codec, &header, data + *at, size - *at, item);
        if (kind != CODEC_MORE) {
            *at += item->size;
            return kind;
        }
        if (!begin_frame(codec, &header))
            return faulty(item, CODEC_NO_MEMORY);
    }
}

int64_t codec_room(const struct codec *codec)
{
    return codec->max_message_size - (int64_t)codec->unfinished->size;
}

enum codec_fault codec_inflated(struct codec *codec, const uint8_t *data, size_t size)
{
    struct codec_unfinished *message = codec->unfinished;
    uint64_t room = (uint64_t)codec_room(codec);
    size_t fits = size > room ? (size_t)room : size;

    if (message->text) {
        if (!utf8_goes_on(&message->utf8, data, fits))
            return CODEC_INFLATED_NOT_UTF8;
        message->more_than_ascii = true; /* as far as anyone has looked */
    }
    if (fits < size)
        return CODEC_INFLATED_TOO_BIG;
    if (!size)
        return CODEC_NO_FAULT;
    if (!reserve(codec, message, size))
        return CODEC_NO_MEMORY;
    memcpy(message->data + message->size, data, size);
    message->size += size;
    return CODEC_NO_FAULT;
}

bool codec_text_is_whole(const struct codec *codec)
{
    return !codec->unfinished->utf8.need;
}

void codec_end_message(struct codec *codec)
{
    struct codec_unfinished *message = codec->unfinished;

    free(message->data);
    message->data = NULL;
    message->size = message->room = 0;
    message->in_message = false;
    release(codec);
}

void codec_clear(struct codec *codec)
{
    if (codec->unfinished) {
        free(codec->unfinished->data);
        free(codec->unfinished);
        codec->unfinished = NULL;
    }
    codec->head_size = 0;
}
