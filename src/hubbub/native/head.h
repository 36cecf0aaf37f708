/* The usual upgrade request, whole and right: RFC 6455, section 4.2. Anything else is left to wire/handshake.py, which
 * is the specification and names what is wrong; so this says yes or nothing. */
#ifndef HUBBUB_HEAD_H
#define HUBBUB_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_LINES = 64 }; /* header lines, at most: browsers send some 20 */

struct head_part {
    const uint8_t *data;
    size_t size;
};

struct head {
    struct head_part target; /* path and query */
    const uint8_t *key;      /* the 24 bytes of it */
    size_t count;            /* of header lines */
    size_t size;             /* bytes of the head, its empty line included */
    struct head_part names[HEAD_LINES], values[HEAD_LINES];
};

/* Whether these bytes begin with a request that is complete, within the limits, and right. What is found points into
 * them. It allocates nothing, and looks at every byte a few times at most. */
bool head_read(const uint8_t *data, size_t size, size_t max_lines, size_t max_size, struct head *head);

#endif
