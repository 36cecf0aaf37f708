/* UTF-8, judged as it comes: RFC 3629, and table 3-7 of the Unicode standard. */
#ifndef HUBBUB_UTF8_H
#define HUBBUB_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A character that has begun: how many bytes it still needs, and between what the next of them must lie.
 * All zero stands for none, so that a zeroed one is where a text begins. */
struct utf8 {
    uint8_t need, low, high;
};

/* Whether `size` more bytes can be the beginning of a valid text, after those that `state` stands for.
 * Once it is false, so it would stay whatever followed: the first wrong byte is the one that is seen. */
bool utf8_goes_on(struct utf8 *state, const uint8_t *data, size_t size);

#endif
