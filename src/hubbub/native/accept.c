#include "accept.h"

#include <stddef.h>
#include <string.h>

enum { WORDS = 5, BLOCK = 64, BLOCKS = 2, ROUNDS = 80 }; /* 60 bytes, and what SHA-1 pads them with */

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static uint32_t rotated(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* One block of FIPS 180-4, section 6.1.2. */
static void digest_block(uint32_t state[WORDS], const uint8_t *block)
{
    uint32_t words[ROUNDS];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    for (size_t at = 0; at < 16; at++, block += 4)
        words[at] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (size_t at = 16; at < ROUNDS; at++)
        words[at] = rotated(words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16], 1);
    for (size_t at = 0; at < ROUNDS; at++) {
        uint32_t mixed = at < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                         : at < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                         : at < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                   : (b ^ c ^ d) + 0xCA62C1D6;
        mixed += rotated(a, 5) + e + words[at];
        e = d;
        d = c;
        c = rotated(b, 30);
        b = a;
        a = mixed;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void accept_answer(const uint8_t key[ACCEPT_KEY], uint8_t answer[ACCEPT_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t state[WORDS] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t text[BLOCK * BLOCKS] = {0}, digest[4 * WORDS + 1] = {0};
    const size_t size = ACCEPT_KEY + sizeof GUID - 1;

    memcpy(text, key, ACCEPT_KEY);
    memcpy(text + ACCEPT_KEY, GUID, sizeof GUID - 1);
    text[size] = 0x80;
    text[sizeof text - 2] = (uint8_t)(8 * size >> 8); /* the size in bits, which is less than 65,536 */
    text[sizeof text - 1] = (uint8_t)(8 * size);
    for (size_t at = 0; at < BLOCKS; at++)
        digest_block(state, text + at * BLOCK);
    for (size_t at = 0; at < 4 * WORDS; at++)
        digest[at] = (uint8_t)(state[at / 4] >> (24 - 8 * (at % 4)));
    for (size_t at = 0, to = 0; at < sizeof digest; at += 3, to += 4) {
        uint32_t three = (uint32_t)digest[at] << 16 | (uint32_t)digest[at + 1] << 8 | digest[at + 2];
        for (size_t digit = 0; digit < 4; digit++)
            answer[to + digit] = (uint8_t)digits[three >> (18 - 6 * digit) & 63];
    }
    answer[ACCEPT_SIZE - 1] = '='; /* for the byte that the digest lacks */
}
