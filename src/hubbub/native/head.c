#include "head.h"

#include <string.h>

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

/* Whether it is that word, given in lower case, whatever its own case. */
static bool is_word(struct head_part part, const char *word)
{
    size_t size = strlen(word);

    if (part.size != size)
        return false;
    for (size_t at = 0; at < size; at++)
        if (lower(part.data[at]) != (uint8_t)word[at])
            return false;
    return true;
}

static bool is_alphanumeric(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (lower(byte) >= 'a' && lower(byte) <= 'z');
}

static bool is_token(uint8_t byte)
{
    return is_alphanumeric(byte) || (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct head_part stripped(struct head_part part)
{
    while (part.size && is_blank(part.data[0])) {
        part.data++;
        part.size--;
    }
    while (part.size && is_blank(part.data[part.size - 1]))
        part.size--;
    return part;
}

/* Take the next line off; false if there is none, or one that is not ended by CR and LF. */
static bool take_line(struct head_part *rest, struct head_part *line)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;

    if (!end || end == rest->data || end[-1] != '\r')
        return false;
    line->data = rest->data;
    line->size = (size_t)(end - rest->data) - 1;
    rest->size -= line->size + 2;
    rest->data = end + 1;
    return true;
}

/* The request line with a target that begins with its path: that of a proxy's form is not usual. */
static bool read_request(struct head_part line, struct head_part *target)
{
    static const size_t before = 4, after = 9; /* bytes of "GET " and " HTTP/1.1" */
    struct head_part method = {line.data, before}, protocol = {NULL, after};

    if (line.size < before + after + 1)
        return false;
    protocol.data = line.data + line.size - after;
    target->data = line.data + before;
    target->size = line.size - before - after;
    if (!is_word(method, "get ") || !is_word(protocol, " http/1.1") || target->data[0] != '/')
        return false;
    for (size_t at = 0; at < target->size; at++)
        if (target->data[at] <= ' ' || target->data[at] > '~')
            return false;
    return true;
}

static bool read_header(struct head_part line, struct head_part *name, struct head_part *value)
{
    name->data = line.data;
    name->size = 0;
    while (name->size < line.size && is_token(line.data[name->size]))
        name->size++;
    if (!name->size || name->size == line.size || line.data[name->size] != ':')
        return false;
    value->data = line.data + name->size + 1;
    value->size = line.size - name->size - 1;
    for (size_t at = 0; at < value->size; at++)
        if ((value->data[at] < ' ' && value->data[at] != '\t') || value->data[at] == 0x7F)
            return false;
    *value = stripped(*value);
    return true;
}

/* Sixteen bytes in base64: section 4.2.1, item 5. */
static bool is_key(struct head_part value)
{
    if (value.size != 24 || value.data[22] != '=' || value.data[23] != '=')
        return false;
    for (size_t at = 0; at < 22; at++)
        if (!is_alphanumeric(value.data[at]) && value.data[at] != '+' && value.data[at] != '/')
            return false;
    return true;
}

/* Whether one of the words between commas is that one. */
static bool has_word(struct head_part value, const char *word)
{
    while (value.size) {
        const uint8_t *comma = memchr(value.data, ',', value.size);
        struct head_part part = {value.data, comma ? (size_t)(comma - value.data) : value.size};
        if (is_word(stripped(part), word))
            return true;
        value.data += part.size;
        value.size -= part.size;
        if (comma) {
            value.data++;
            value.size--;
        }
    }
    return false;
}

/* Section 4.2.1, items 2 to 6, and no body. */
static bool is_right(struct head *head)
{
    size_t keys = 0, hosts = 0, versions = 0;
    bool upgrade = false, connection = false;

    for (size_t at = 0; at < head->count; at++) {
        struct head_part name = head->names[at], value = head->values[at];
        if (is_word(name, "sec-websocket-key")) {
            keys += is_key(value) ? 1 : 2;
            head->key = value.data;
        } else if (is_word(name, "host")) {
            hosts += value.size ? 1 : 2;
        } else if (is_word(name, "sec-websocket-version")) {
            versions += is_word(value, "13") ? 1 : 2;
        } else if (is_word(name, "upgrade")) {
            upgrade |= has_word(value, "websocket");
        } else if (is_word(name, "connection")) {
            connection |= has_word(value, "upgrade");
        } else if (is_word(name, "content-length") || is_word(name, "transfer-encoding")) {
            return false;
        }
    }
    return keys == 1 && hosts == 1 && versions == 1 && upgrade && connection;
}

bool head_read(const uint8_t *data, size_t size, size_t max_lines, size_t max_size, struct head *head)
{
    struct head_part rest = {data, size < max_size ? size : max_size}, line;

    head->count = 0;
    if (!take_line(&rest, &line) || !read_request(line, &head->target))
        return false;
    while (take_line(&rest, &line)) {
        if (!line.size) {
            head->size = (size_t)(rest.data - data);
            return is_right(head);
        }
        if (head->count == HEAD_LINES || head->count == max_lines ||
            !read_header(line, &head->names[head->count], &head->values[head->count]))
            return false;
        head->count++;
    }
    return false;
}
