// Inflates what one member receives, where zlib's header is there; all others only count frames.
#include "load.h"

#if __has_include(<zlib.h>) && !defined NO_ZLIB
#include <string.h>
#include <zlib.h>

static z_stream stream;

bool inflate_begin(void) { return inflateInit2(&stream, -15) == Z_OK; }

// The window is kept from message to message, which is right with and without context takeover.
bool inflate_stamp(const uint8_t *data, size_t size, char *stamp) {
    static uint8_t out[1 << 17], in[1 << 17];
    if (size + 4 > sizeof in) return false;
    memcpy(in, data, size);
    memcpy(in + size, "\0\0\xff\xff", 4);  // RFC 7692, section 7.2.2
    stream.next_in = in, stream.avail_in = (uInt)size + 4;
    stream.next_out = out, stream.avail_out = sizeof out;
    int result = inflate(&stream, Z_SYNC_FLUSH);
    if (result == Z_STREAM_END) inflateReset(&stream);
    size_t got = sizeof out - stream.avail_out;
    const uint8_t *mark = memchr(out, '~', got);
    if (result != Z_OK && result != Z_STREAM_END) return false;
    if (got != options.size || !mark || mark + 1 + STAMP > out + got) return false;
    memcpy(stamp, mark + 1, STAMP);
    return true;
}
#else
bool inflate_begin(void) { return false; }
bool inflate_stamp(const uint8_t *data, size_t size, char *stamp) {
    (void)data, (void)size, (void)stamp;
    return false;
}
#endif
