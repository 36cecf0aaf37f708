/* Masking: RFC 6455, section 5.3. */
#ifndef HUBBUB_MASK_H
#define HUBBUB_MASK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* XOR `size` bytes with a key of four, repeated; masking and unmasking are the same. `out` and `in` do not overlap.
 * Returns a byte whose highest bit says whether there is more than ASCII in `out`.
 * The loop over words has no branch and no dependency, so that compilers make vectors of it. */
static inline uint8_t mask_bytes(uint8_t *restrict out, const uint8_t *restrict in, size_t size, const uint8_t key[4])
{
    uint64_t keys, word, seen = 0;
    size_t at = 0;

    memcpy(&keys, key, 4);
    memcpy((uint8_t *)&keys + 4, key, 4);
    for (; size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, in + at, sizeof word);
        word ^= keys;
        memcpy(out + at, &word, sizeof word);
        seen |= word;
    }
    seen &= UINT64_C(0x8080808080808080);
    uint8_t rest = seen ? 0x80 : 0;
    for (; at < size; at++) {
        out[at] = in[at] ^ key[at & 3];
        rest |= out[at];
    }
    return rest;
}

#endif
