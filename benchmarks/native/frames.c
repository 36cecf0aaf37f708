// Frames as they arrive, whatever the reads cut them into, and the stamps in them.
#include "load.h"

#include <string.h>

static char packed[1 << 17];  // the compressed message of the one member that inflates
static size_t packed_size;

static void deliver(struct member *m) {
    uint32_t publisher, number;
    uint64_t at;
    read_stamp(m->stamp, &publisher, &number, &at);
    m->stamped = false;
    delivered(m, publisher, number, at);
}

// A message counts when all of it is there. Other dialects put several into one frame: each counts
// when the next one begins.
static void scan(struct member *m, const uint8_t *data, size_t size) {
    while (size) {
        if (m->stamp_size < 0) {
            if (dialect->exact && m->stamped) return;
            const uint8_t *mark = memchr(data, '~', size);
            if (!mark) return;
            if (m->stamped) deliver(m);
            size -= (size_t)(mark + 1 - data);
            data = mark + 1;
            m->stamp_size = 0;
        }
        size_t want = (size_t)(STAMP - m->stamp_size), n = size < want ? size : want;
        memcpy(m->stamp + m->stamp_size, data, n);
        m->stamp_size += (int)n, data += n, size -= n;
        if (m->stamp_size == STAMP) m->stamp_size = -1, m->stamped = true;
    }
}

static void take_body(struct member *m, const uint8_t *data, size_t size) {
    if (m->state == GREETING || m->opcode >= 8) {
        size_t room = sizeof m->text - 1 - m->text_size, n = size < room ? size : room;
        memcpy(m->text + m->text_size, data, n);
        m->text_size += n;
    } else if (!m->packed) {
        scan(m, data, size);
    } else if (m->inflates && packed_size + size <= sizeof packed) {
        memcpy(packed + packed_size, data, size);
        packed_size += size;
    }
}

static void finish_packed(struct member *m) {
    if (!m->inflates) {
        delivered_unread(m);
    } else if (inflate_stamp((uint8_t *)packed, packed_size, m->stamp)) {
        deliver(m);
    } else {
        faults.damaged++;
        delivered_unread(m);
    }
    packed_size = 0;
}

static void finish(struct member *m) {
    m->in_body = false, m->head_size = 0;
    if (m->opcode == 9) {
        send_frame(m, 0x8a, m->text, m->text_size);
    } else if (m->opcode == 8) {
        gone(m, false);
    } else if (m->opcode < 8 && m->packed) {
        finish_packed(m);
    } else if (m->opcode < 8) {
        if (m->state == GREETING) heard(m);
        if (dialect->exact && (m->length != options.size || !m->stamped)) faults.damaged++;
        if (m->stamped) deliver(m);
    }
    m->text_size = 0;
}

// Takes one byte of a frame's head. The body begins when the head is whole.
static void take_head(struct member *m, uint8_t byte) {
    m->head[m->head_size++] = byte;
    if (m->head_size < 2) return;
    uint8_t size = m->head[1] & 127, whole = size < 126 ? 2 : size == 126 ? 4 : 10;
    if (m->head_size < whole) return;
    uint64_t length = size < 126 ? size : 0;
    for (int i = 2; i < whole; i++) length = length << 8 | m->head[i];
    m->opcode = m->head[0] & 15;
    m->packed = m->head[0] & 0x40;
    if (!(m->head[0] & 0x80) && dialect->exact) stop("a message in fragments, which nobody here sends");
    m->length = m->left = length;
    m->in_body = true;
}

void take_bytes(struct member *m, const uint8_t *data, size_t size) {
    while (m->state != CLOSED) {
        if (!m->in_body) {
            if (!size) return;
            size--;
            take_head(m, *data++);
        }
        if (m->in_body) {
            size_t n = size < m->left ? size : (size_t)m->left;
            if (n) take_body(m, data, n);
            data += n, size -= n, m->left -= n;
            if (m->left) return;
            finish(m);
        }
    }
}
