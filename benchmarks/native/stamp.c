// Payloads. Each one holds '~' and 32 letters from 'a' to 'p', four bits in each, that tell who
// published it, which one it is, and when: legal in JSON and in UTF-8, and quick to read.
#include "load.h"

#include <string.h>

static void write_letters(char *out, uint32_t value) {
    for (int i = 0; i < 8; i++) out[i] = (char)('a' + (value >> (28 - 4 * i) & 15));
}

// Eight letters at once: neighbours are joined into bytes, bytes into halves, halves into one number.
static uint32_t read_letters(const char *in) {
    uint64_t x;
    memcpy(&x, in, 8);
    x = __builtin_bswap64(x) - 0x6161616161616161u;
    x = (x | x >> 4) & 0x00ff00ff00ff00ffu;
    x = (x | x >> 8) & 0x0000ffff0000ffffu;
    return (uint32_t)(x | x >> 16);
}

void write_stamp(char *out, uint32_t publisher, uint32_t number, uint64_t at) {
    write_letters(out, publisher);
    write_letters(out + 8, number);
    write_letters(out + 16, (uint32_t)(at >> 32));
    write_letters(out + 24, (uint32_t)at);
}

void read_stamp(const char *in, uint32_t *publisher, uint32_t *number, uint64_t *at) {
    *publisher = read_letters(in);
    *number = read_letters(in + 8);
    *at = (uint64_t)read_letters(in + 16) << 32 | read_letters(in + 24);
}

// A list of trades whose figures change with every message, so that it compresses as such lists do.
static void fill_json(char *out, size_t size, uint32_t number) {
    uint64_t random = number * 0x9e3779b97f4a7c15u + 1;
    size_t n = (size_t)sprintf(out, "{\"id\":\"~%0*d\",\"trades\":[", STAMP, 0);
    for (const char *comma = ""; n + 80 < size; comma = ",") {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        n += (size_t)sprintf(out + n, "%s{\"price\":%u.%02u,\"size\":%u,\"side\":\"%s\"}", comma,
                             100 + (unsigned)(random >> 8 & 63), (unsigned)(random >> 16) % 100,
                             (unsigned)(random >> 32) % 5000, random & 1 ? "buy" : "sell");
    }
    n += (size_t)sprintf(out + n, "],\"pad\":\"");
    memset(out + n, ' ', size - n);
    memcpy(out + size - 2, "\"}", 2);
}

// A payload but for its stamp, which belongs after the '~'.
void fill_payload(char *out, size_t size, uint32_t number) {
    if (options.json) {
        fill_json(out, size, number);
    } else {
        out[0] = '~';
        memset(out + 1, 'x', size - 1);
    }
}
