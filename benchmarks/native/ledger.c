// Who must get what, and who got it: in full, once, and in the same order as everybody else in the room.
//
// Every publisher numbers its messages. A message is done when all who counted as members when it was
// published have it; then its publisher may publish the next one. A number that a member skips is
// lost; if it comes later after all it is out of order instead; a number that comes again is a
// duplicate. Beyond that, each member's messages are compared with the room's order: the one in which
// whoever was first received them.
#include "load.h"

#include <stdlib.h>
#include <string.h>

static uint32_t ring, order;  // entries of a publisher's ring and of a room's order: powers of two
static struct publisher **due;  // those that may publish
static int due_count;

static uint32_t power(uint32_t least) {
    uint32_t p = 1;
    while (p < least) p *= 2;
    return p;
}

// Members share out the rooms evenly, the first of a room publishing, or all of it.
void ledger_begin(void) {
    int size = options.members / options.rooms, publishers = options.all ? size : 1;
    ring = power((uint32_t)options.in_flight * 2);
    order = power((uint32_t)(options.in_flight * publishers) * 4);
    rooms = calloc((size_t)options.rooms, sizeof *rooms);
    members = calloc((size_t)options.members, sizeof *members);
    due = calloc((size_t)(options.rooms * publishers), sizeof *due);
    for (int r = 0; r < options.rooms; r++) {
        rooms[r].publishers = publishers;
        rooms[r].publisher = calloc((size_t)publishers, sizeof *rooms[r].publisher);
        rooms[r].order = calloc(order, sizeof *rooms[r].order);
        for (int p = 0; p < publishers; p++) {
            rooms[r].publisher[p].ring = calloc(ring, sizeof(struct message));
            rooms[r].publisher[p].member = &members[r * size + p];
            rooms[r].publisher[p].room = &rooms[r];
        }
    }
    for (int i = 0; i < options.members; i++) {
        struct member *m = &members[i];
        m->fd = -1, m->room = i / size, m->publisher = i % size < publishers ? i % size : -1;
        m->expected = calloc((size_t)publishers * 2, sizeof *m->expected);
        m->from = m->expected + publishers;
        m->inflates = i == size - 1;
    }
}

static void add_due(struct publisher *p) {
    if (!p->due) p->due = true, due[due_count++] = p;
}

// One member less is waited for. `at` is when it got the message, 0 if it did not.
static void settle(struct publisher *p, uint32_t number, uint64_t at) {
    struct message *message = &p->ring[number & (ring - 1)];
    message->got++;
    if (at && measuring) note_recipient(message, at);
    while (p->done < p->sent) {
        message = &p->ring[p->done & (ring - 1)];
        if (message->got < message->recipients) break;
        p->done++;
        add_due(p);
    }
}

// Everything that was under way for this member is no longer waited for. Returns how much that was.
static uint64_t excuse(struct member *m) {
    struct room *room = &rooms[m->room];
    uint64_t count = 0;
    for (int i = 0; i < room->publishers; i++) {
        struct publisher *p = &room->publisher[i];
        uint32_t number = m->expected[i] > m->from[i] ? m->expected[i] : m->from[i];
        for (; number < p->sent; number++, count++) settle(p, number, 0);
    }
    return count;
}

static void count_from_now(struct member *m) {
    struct room *room = &rooms[m->room];
    for (int i = 0; i < room->publishers; i++) m->from[i] = room->publisher[i].sent;
    m->state = COUNTED;
    room->counted++;
}

// A member that is there when nobody has published counts at once. One that comes later counts from
// the first message on that it gets, for nobody but the server can tell when it was in the room.
void joined(struct member *m) {
    struct room *room = &rooms[m->room];
    m->gaps = 0;
    for (int i = 0; i < room->publishers; i++) m->expected[i] = 0;
    if (!totals.messages) {
        m->position = 0;
        count_from_now(m);
    }
}

static void check_order(struct room *room, struct member *m, uint64_t id) {
    uint64_t mask = order - 1;
    if (m->position > room->end) {  // it skipped what nobody else has yet: a gap of its own, and no order for the others
        m->position++;
    } else if (m->position < room->end && room->end - m->position <= order && room->order[m->position & mask] == id) {
        m->position++;
    } else if (m->position == room->end) {
        room->order[room->end++ & mask] = id;
        m->position++;
    } else {  // not what the first one got at this place: find it, and go on from there
        uint64_t at = room->end, least = room->end > order ? room->end - order : 0;
        while (at > least && room->order[(at - 1) & mask] != id) at--;
        faults.out_of_order++;
        m->position = at > least ? at : room->end;
    }
}

// Where a newcomer stands in the room's order.
static void place(struct room *room, struct member *m, uint32_t publisher, uint32_t number) {
    uint64_t id = (uint64_t)publisher << 32 | number, least = room->end > order ? room->end - order : 0;
    for (m->position = room->end; m->position > least; m->position--)
        if (room->order[(m->position - 1) & (order - 1)] == id) break;
    if (m->position > least) m->position--;
    else m->position = room->end;
    for (int i = 0; i < room->publishers; i++) m->expected[i] = room->publisher[i].sent;
    m->expected[publisher] = number;
    count_from_now(m);
}

void delivered(struct member *m, uint32_t publisher, uint32_t number, uint64_t sent_at) {
    struct room *room = &rooms[m->room];
    if (publisher >= (uint32_t)room->publishers || number >= room->publisher[publisher].sent) {
        faults.damaged++;
        return;
    }
    struct publisher *p = &room->publisher[publisher];
    totals.deliveries++;
    if (measuring) note_delivery(last_arrival - sent_at);
    if (m->state == WAITING) place(room, m, publisher, number);
    uint32_t expected = m->expected[publisher];
    if (number < expected && m->gaps) {
        m->gaps--, faults.lost--, faults.out_of_order++;
        return;
    }
    if (number < expected) {
        faults.duplicates++;
        return;
    }
    for (; expected < number; expected++) {
        m->gaps++, faults.lost++, m->position++;
        if (expected >= m->from[publisher]) settle(p, expected, 0);
    }
    m->expected[publisher] = number + 1;
    if (!m->packed || m->inflates) check_order(room, m, (uint64_t)publisher << 32 | number);
    if (number >= m->from[publisher]) settle(p, number, last_arrival);
}

// A compressed message that is only counted: taken for the next one of the only publisher.
void delivered_unread(struct member *m) {
    struct publisher *p = rooms[m->room].publisher;
    delivered(m, 0, m->expected[0], p->ring[m->expected[0] & (ring - 1)].sent_at);
}

// A member's connection has ended, as was expected or not.
void gone(struct member *m, bool expected) {
    if (m->state == COUNTED) {
        uint64_t missed = excuse(m);
        rooms[m->room].counted--;
        if (!expected) faults.lost += missed;
    }
    if (!expected && m->state != STALLED) faults.disconnected++;
    close_member(m, expected);
}

void publish(struct publisher *p) {
    static char payload[1 << 20], whole[(1 << 20) + 512];
    static bool filled;
    if (!filled || options.json) fill_payload(payload, options.size, p->sent);
    filled = true;
    struct message *message = &p->ring[p->sent & (ring - 1)];
    *message = (struct message){.recipients = (uint32_t)p->room->counted, .sent_at = now_ns()};
    char *mark = memchr(payload, '~', options.size);
    write_stamp(mark + 1, (uint32_t)(p - p->room->publisher), p->sent++, message->sent_at);
    totals.messages++;
    const char *data = payload;
    size_t size = options.size;
    if (!dialect->exact) {
        size = wrap(whole, sizeof whole, dialect->before, p->member->room, options.size);
        memcpy(whole + size, payload, options.size);
        size += options.size;
        size += wrap(whole + size, sizeof whole - size, dialect->after, p->member->room, options.size);
        data = whole;
    }
    send_frame(p->member, dialect->text || options.text ? 0x81 : 0x82, data, size);
}

void all_due(void) {
    for (int r = 0; r < options.rooms; r++)
        for (int i = 0; i < rooms[r].publishers; i++) add_due(&rooms[r].publisher[i]);
}

// Every publisher keeps so many messages under way.
void publish_due(void) {
    while (due_count) {
        struct publisher *p = due[--due_count];
        p->due = false;
        while (p->member->state == COUNTED && p->sent - p->done < (uint32_t)options.in_flight) publish(p);
    }
}

bool all_done(void) {
    for (int r = 0; r < options.rooms; r++)
        for (int i = 0; i < rooms[r].publishers; i++)
            if (rooms[r].publisher[i].done < rooms[r].publisher[i].sent) return false;
    return true;
}

// What is still missing when nothing comes any more, or when there is no more time to wait.
void count_unfinished(bool silent) {
    for (int i = 0; i < options.members; i++)
        if (members[i].state == COUNTED) *(silent ? &faults.lost : &faults.unfinished) += excuse(&members[i]);
}
