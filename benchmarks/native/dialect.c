// What a server wants to hear and how it wraps a payload, as data: the plain form (binary WebSocket
// messages, and the path names the room), and the smallest part of three protocols that it takes to
// be a member of a room.
#include "load.h"

#include <string.h>

static const char *const none[] = {NULL};
static const char *const socket_io[] = {"0{", "40", "40{", "42[\"join\",\"%d\"]", "42[\"joined\"", NULL};
static const char *const centrifuge[] = {
    "", "{\"id\":1,\"connect\":{}}",
    "\"connect\":{", "{\"id\":2,\"subscribe\":{\"channel\":\"room%d\"}}",
    "\"subscribe\":{", NULL,
};
static const char *const nats[] = {
    "INFO ", "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB room%d 1\r\nPING\r\n",
    "PONG", NULL,
};

static const struct dialect dialects[] = {
    {.name = "plain", .path = "/room/%d", .exact = true, .greeting = none, .before = "", .after = ""},
    {.name = "socket.io", .path = "/socket.io/?EIO=4&transport=websocket", .text = true, .greeting = socket_io,
     .before = "42[\"say\",\"", .after = "\"]"},
    {.name = "centrifuge", .path = "/connection/websocket", .text = true, .greeting = centrifuge,
     .before = "{\"id\":3,\"publish\":{\"channel\":\"room%d\",\"data\":\"", .after = "\"}}"},
    {.name = "nats", .path = "/", .greeting = nats, .before = "PUB room%d %z\r\n", .after = "\r\n"},
};

const struct dialect *find_dialect(const char *name) {
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (strcmp(dialects[i].name, name) == 0) return &dialects[i];
    return NULL;
}

// Writes `form` with its %d and %z filled in. Returns the length.
size_t wrap(char *out, size_t limit, const char *form, int room, size_t size) {
    size_t n = 0;
    for (; *form && n + 24 < limit; form++) {
        if (form[0] == '%' && (form[1] == 'd' || form[1] == 'z'))
            n += (size_t)snprintf(out + n, limit - n, "%zu", *++form == 'd' ? (size_t)room : size);
        else
            out[n++] = *form;
    }
    out[n] = 0;
    return n;
}
