/* Upgrade requests under the sanitizers: cut at every place, and with every byte at every place, each in memory of
 * exactly its size. What is found must lie within it.
 */
#include "head.h"

#include "accept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char GOOD[] =
    "GET /chat?x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c, websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-Empty:\r\n\r\nrest";
enum { SIZE = sizeof GOOD - 1, REST = 4 };

static bool within(struct head_part part, const uint8_t *data, size_t size)
{
    return part.data >= data && part.data <= data + size && part.size <= (size_t)(data + size - part.data);
}

/* Whether it is read as right, from a copy; with one byte changed unless `place` is past its end. */
static bool is_read(size_t size, size_t place, uint8_t byte, size_t max_lines, size_t max_size)
{
    uint8_t *data = malloc(size);
    struct head head;
    bool right;

    memcpy(data, GOOD, size);
    if (place < size)
        data[place] = byte;
    right = head_read(data, size, max_lines, max_size, &head);
    if (right) {
        uint8_t answer[ACCEPT_SIZE];
        accept_answer(head.key, answer);
        if (head.size > size || head.size > max_size || head.count > max_lines || !within(head.target, data, size))
            abort();
        for (size_t at = 0; at < head.count; at++)
            if (!within(head.names[at], data, size) || !within(head.values[at], data, size))
                abort();
    }
    free(data);
    return right;
}

int main(void)
{
    size_t right = 0;

    for (size_t size = 0; size <= SIZE; size++)
        if (is_read(size, SIZE, 0, 64, 8192) != (size >= SIZE - REST))
            return 1;
    for (size_t limit = 0; limit <= SIZE; limit++)
        if (is_read(SIZE, SIZE, 0, 64, limit) != (limit >= SIZE - REST) ||
            is_read(SIZE, SIZE, 0, limit, 8192) != (limit >= 6))
            return 1;
    for (size_t place = 0; place < SIZE; place++)
        for (unsigned byte = 0; byte < 256; byte++)
            right += is_read(SIZE, place, (uint8_t)byte, 64, 8192);
    printf("%zu of %d changed requests were read as right\n", right, SIZE * 256);
    return 0;
}
