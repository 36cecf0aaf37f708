/* The codec alone, under the sanitizers and without Python: streams of right, wrong and cut frames, each read whole
 * and in random pieces, must come to the same; afterwards nothing may be left allocated.
 *
 *   codec [STREAMS [SEED]]
 */
#include "codec.h"

#include <stdio.h>
#include <stdlib.h>

enum { STREAM = 8192, LIMIT = 3000 };

static uint64_t state;

static uint32_t chance(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

/* What was found, as a number that depends on every byte and every order. */
static void note(uint64_t *found, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size; at++)
        *found = (*found ^ data[at]) * UINT64_C(0x100000001B3);
    *found = (*found ^ size) * UINT64_C(0x100000001B3);
}

static size_t put_frame(uint8_t *out)
{
    static const uint8_t firsts[] = {0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x00, 0x89, 0x8A, 0x88, 0xC1, 0x41, 0xC2};
    static const uint16_t sizes[] = {0, 1, 7, 8, 9, 33, 125, 126, 127, 500, 1500};
    uint16_t size = sizes[chance(sizeof sizes / sizeof *sizes)];
    uint8_t key[4], payload[1500];
    size_t at = 0;

    out[at++] = chance(50) ? firsts[chance(sizeof firsts)] : (uint8_t)chance(256);
    if (out[0] & 8 && size > CODEC_CONTROL)
        size = CODEC_CONTROL;
    if (size < 126) {
        out[at++] = 0x80 | (uint8_t)size;
    } else {
        out[at++] = 0xFE;
        out[at++] = (uint8_t)(size >> 8);
        out[at++] = (uint8_t)size;
    }
    for (size_t index = 0; index < 4; index++)
        out[at++] = key[index] = (uint8_t)chance(256);
    for (size_t index = 0; index < size; index++) /* half of it two-byte characters, which frames cut */
        payload[index] = chance(60) ? (index & 1 ? 0xA9 : 0xC3) : 'a';
    if (out[0] == 0x88 && size >= 2)
        memcpy(payload, "\x03\xE8", 2);
    mask_bytes(out + at, payload, size, key);
    return at + size;
}

static size_t put_stream(uint8_t *out)
{
    size_t size = 0;
    uint32_t frames = 1 + chance(5);

    while (frames--)
        size += put_frame(out + size);
    if (chance(3) == 0)
        out[chance((uint32_t)size)] ^= (uint8_t)chance(256);
    if (chance(3) == 0)
        size -= chance((uint32_t)size);
    return size;
}

/* Stand in for inflation, which is the caller's: data that "inflates" to itself. */
static enum codec_fault inflate(struct codec *codec, const struct codec_item *item)
{
    uint8_t *plain = malloc(item->size);
    enum codec_fault fault;

    mask_bytes(plain, item->data, item->size, item->key);
    fault = codec_inflated(codec, plain, item->size);
    free(plain);
    return fault;
}

/* Whether it holds no more than twice what has come. A text that was refused was made room for, but did not come. */
static bool is_frugal(const struct codec *codec)
{
    return !codec->unfinished || codec->unfinished->text || codec->unfinished->room <= 2 * codec->unfinished->size;
}

/* Take in one read, which lies in memory of exactly its size. Returns whether it goes on after it. */
static bool take(struct codec *codec, const uint8_t *data, size_t size, uint64_t *found)
{
    struct codec_item item;
    size_t at = 0;
    uint8_t *plain;

    for (;;) {
        enum codec_fault fault = CODEC_NO_FAULT;
        enum codec_kind kind = codec_next(codec, data, size, &at, &item);
        switch (kind) {
        case CODEC_MORE:
            if (at != size || !is_frugal(codec))
                abort();
            return true;
        case CODEC_WHOLE: {
            struct utf8 text = {0};
            plain = malloc(item.size);
            mask_bytes(plain, item.data, item.size, item.key);
            if (item.opcode == CODEC_TEXT && (!utf8_goes_on(&text, plain, item.size) || text.need))
                fault = CODEC_NOT_UTF8;
            else
                note(found, plain, item.size);
            free(plain);
            break;
        }
        case CODEC_PIECE:
            fault = inflate(codec, &item);
            break;
        case CODEC_MESSAGE:
            if (codec->unfinished->size > LIMIT || codec->unfinished->room > LIMIT)
                abort();
            if (codec->unfinished->text && !codec_text_is_whole(codec))
                fault = codec->unfinished->compressed ? CODEC_INFLATED_NOT_UTF8 : CODEC_NOT_UTF8;
            else
                note(found, codec->unfinished->data, codec->unfinished->size);
            codec_end_message(codec);
            break;
        case CODEC_CONTROL_FRAME:
            note(found, item.control, item.size);
            if (item.opcode == CODEC_CLOSE)
                return false;
            break;
        case CODEC_FAULTY:
            fault = item.fault;
            break;
        }
        if (fault) {
            *found = *found * 31 + (uint64_t)fault;
            return false;
        }
    }
}

static uint64_t read_stream(const uint8_t *stream, size_t size, bool in_pieces)
{
    struct codec codec = {.max_message_size = LIMIT, .max_fragments = 3, .deflates = true};
    uint64_t found = 0, passed_over = 0;
    bool more = true;

    for (size_t at = 0; at < size;) { /* reading on after a fault is forbidden, and must be harmless all the same */
        size_t count = in_pieces ? 1 + chance((uint32_t)(size - at < 200 ? size - at : 200)) : size - at;
        uint8_t *read = malloc(count); /* so that one byte too far is seen */
        memcpy(read, stream + at, count);
        if (more)
            more = take(&codec, read, count, &found);
        else
            take(&codec, read, count, &passed_over);
        free(read);
        at += count;
    }
    codec_clear(&codec);
    return found;
}

int main(int count, char **words)
{
    unsigned long streams = count > 1 ? strtoul(words[1], NULL, 10) : 100000;
    static uint8_t stream[STREAM];

    state = count > 2 ? strtoull(words[2], NULL, 10) : 6455;
    for (unsigned long number = 0; number < streams; number++) {
        size_t size = put_stream(stream);
        uint64_t whole = read_stream(stream, size, false);
        for (int again = 0; again < 3; again++) {
            if (read_stream(stream, size, true) != whole) {
                fprintf(stderr, "stream %lu comes to something else in pieces\n", number);
                return 1;
            }
        }
    }
    printf("%lu streams, whole and in pieces: the same\n", streams);
    return 0;
}
