// The header of a whole, plain, unmasked frame, with the length in its shortest form: RFC 6455, section 5.2.
#ifndef HUBBUB_ENCODE_H
#define HUBBUB_ENCODE_H

#include <stddef.h>
#include <stdint.h>

// Bytes of the header before a payload of that size.
static inline size_t encode_head_size(uint64_t size) { return size < 126 ? 2 : size < 65536 ? 4 : 10; }

// Writes it to `to`, which has room for that many. `first` is the byte with the opcode.
static inline void encode_head(unsigned char *to, unsigned char first, uint64_t size) {
    size_t head = encode_head_size(size);
    to[0] = first;
    to[1] = (unsigned char)(head == 2 ? size : head == 4 ? 126 : 127);
    for (size_t i = 2; i < head; i++) to[i] = (unsigned char)(size >> (8 * (head - 1 - i)));
}

#endif
