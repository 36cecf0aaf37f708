#include "utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* The number of ASCII bytes that the data begins with, rounded down to whole blocks and words. */
static size_t ascii_prefix(const uint8_t *data, size_t size)
{
    size_t at = 0;
    uint64_t word[4];

    for (; size - at >= sizeof word; at += sizeof word) {
        memcpy(word, data + at, sizeof word);
        if ((word[0] | word[1] | word[2] | word[3]) & HIGH_BITS)
            break;
    }
    for (; size - at >= sizeof word[0]; at += sizeof word[0]) {
        memcpy(word, data + at, sizeof word[0]);
        if (word[0] & HIGH_BITS)
            break;
    }
    return at;
}

/* What a lead byte asks for; false if it cannot be one. */
static bool begin(struct utf8 *state, uint8_t lead)
{
    state->low = 0x80;
    state->high = 0xBF;
    if (lead < 0xC2) /* a continuation, or an overlong form of ASCII */
        return false;
    if (lead < 0xE0) {
        state->need = 1;
    } else if (lead < 0xF0) {
        state->need = 2;
        if (lead == 0xE0)
            state->low = 0xA0; /* below are overlong forms */
        else if (lead == 0xED)
            state->high = 0x9F; /* above are surrogates */
    } else if (lead < 0xF5) {
        state->need = 3;
        if (lead == 0xF0)
            state->low = 0x90; /* below are overlong forms */
        else if (lead == 0xF4)
            state->high = 0x8F; /* above is past U+10FFFF */
    } else {
        return false;
    }
    return true;
}

bool utf8_goes_on(struct utf8 *state, const uint8_t *data, size_t size)
{
    struct utf8 now = *state;
    size_t at = 0;

    while (at < size) {
        uint8_t byte = data[at];
        if (now.need) {
            if (byte < now.low || byte > now.high)
                return false;
            now.need--;
            now.low = 0x80;
            now.high = 0xBF;
            at++;
        } else if (byte < 0x80) {
            size_t skipped = ascii_prefix(data + at, size - at);
            at += skipped ? skipped : 1;
        } else {
            if (!begin(&now, byte))
                return false;
            at++;
        }
    }
    *state = now;
    return true;
}
