/* The answer to a key: RFC 6455, section 4.2.2, item 5. */
#ifndef HUBBUB_ACCEPT_H
#define HUBBUB_ACCEPT_H

#include <stdint.h>

enum { ACCEPT_KEY = 24, ACCEPT_SIZE = 28 }; /* bytes of a key, and of what answers it */

/* The Base64 of the SHA-1 of the key and the protocol's GUID. */
void accept_answer(const uint8_t key[ACCEPT_KEY], uint8_t answer[ACCEPT_SIZE]);

#endif
