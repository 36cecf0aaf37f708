#include "world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "notices.h"

pthread_mutex_t hub = PTHREAD_MUTEX_INITIALIZER;
hb_notices *notices;
hb_writers *writers;
slot slots[SLOTS];

static channel channels[CHANNELS];
static hb_counts *counts;
static int listener;
static uint64_t last_connection, received;

uint32_t chance(actor *actor, uint32_t below) {
    actor->state ^= actor->state << 13;
    actor->state ^= actor->state >> 7;
    actor->state ^= actor->state << 17;
    return (uint32_t)(actor->state >> 32) % below;
}

void world_begin(void) {
    counts = hb_counts_new();
    notices = hb_notices_new();
    writers = hb_writers_new(1, 3, counts);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, SLOTS)) FAIL("cannot listen");
}

void world_end(void) {
    for (unsigned i = 0; i < CHANNELS; i++) {
        while (channels[i].shard_count) hb_shard_drop(channels[i].shards[--channels[i].shard_count]);
    }
    hb_writers_stop(writers);
    hb_writers_drop(writers);
    hb_notices_close(notices);
    hb_notices_drop(notices);
    if (counts->deliveries < received) FAIL("%lu deliveries counted, and %lu came", counts->deliveries, received);
    printf("%lu deliveries in %lu sends, %lu connections\n", counts->deliveries, counts->sends, last_connection);
    hb_counts_drop(counts);
    close(listener);
}

static void make_pair(actor *actor, int ends[2]) {
    if (chance(actor, 2)) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) FAIL("no socketpair");
    } else {
        struct sockaddr_in here;
        socklen_t size = sizeof here;
        getsockname(listener, (struct sockaddr *)&here, &size);
        ends[1] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(ends[1], (struct sockaddr *)&here, size)) FAIL("cannot connect");
        if ((ends[0] = accept(listener, NULL, NULL)) < 0) FAIL("cannot accept");
    }
    if (chance(actor, 2)) setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &(int){4608}, sizeof(int));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
}

bool open_connection(actor *actor, slot *slot) {
    pthread_mutex_lock(&hub);  // and so nobody else accepts in between
    if (slot->phase != FREE) return pthread_mutex_unlock(&hub), false;
    int ends[2];
    make_pair(actor, ends);
    memset(&slot->peer, 0, sizeof slot->peer);
    pthread_mutex_init(&slot->peer.lock, NULL);
    slot->peer.connection = ++last_connection;
    slot->peer.slot = (unsigned)(slot - slots);
    slot->temper = chance(actor, TEMPERS);
    slot->attempts = 0;
    slot->ours = ends[0];
    slot->theirs = ends[1];
    slot->counts = hb_counts_new();
    enum hb_policy policy = chance(actor, 2) ? HB_DISCONNECT : chance(actor, 5);
    slot->peer.lossless = policy == HB_DISCONNECT;
    hb_bounds bounds = {.backlog = chance(actor, 2) ? 4096 : 1 << 20, .total_backlog = 64 << 20};
    bounds.stall_ms = slot->temper == FAST || slot->temper == SLOW ? 4000 : 300;
    slot->owned = chance(actor, 2);
    slot->outlet = hb_outlet_new(ends[0], slot->owned, notices, slot->counts, bounds, slot);
    unsigned char greeting[200];
    write_frame(greeting, (head){.tag = PING, .size = sizeof greeting, .connection = last_connection});
    hb_frame *frame = hb_frame_new(greeting, sizeof greeting);
    pthread_mutex_lock(&slot->outlet->lock);
    slot->outlet->policy = (uint8_t)policy;
    hb_outlet_start(slot->outlet, HB_PLAIN, frame);
    pthread_mutex_unlock(&slot->outlet->lock);
    hb_frame_drop(frame);
    slot->phase = OPEN;
    pthread_mutex_unlock(&hub);
    return true;
}

static void leave_locked(slot *slot, unsigned channel) {
    hb_member *member = slot->members[channel];
    if (!member) return;
    slot->members[channel] = NULL;
    channels[channel].members[slot->shard_of[channel]]--;
    pthread_mutex_lock(&slot->peer.lock);
    slot->peer.stays[channel][slot->peer.stay_count[channel] - 1].last = channels[channel].number;
    pthread_mutex_unlock(&slot->peer.lock);
    hb_member_leave(member);
}

void close_connection(slot *slot, hb_outlet *expected) {
    pthread_mutex_lock(&hub);
    hb_outlet *outlet = slot->outlet;
    bool mine = slot->phase == OPEN && (!expected || outlet == expected);
    if (mine) slot->phase = CLOSING;
    pthread_mutex_unlock(&hub);
    if (!mine) return;
    pthread_mutex_lock(&outlet->lock);
    hb_outlet_detach(outlet);
    pthread_mutex_unlock(&outlet->lock);
    if (!slot->owned) close(slot->ours);  // at once, and while it is a member: strangers take the number now
    pthread_mutex_lock(&hub);
    for (unsigned channel = 0; channel < CHANNELS; channel++) leave_locked(slot, channel);
    slot->phase = CLOSED;
    pthread_mutex_unlock(&hub);
}

bool settle_account(slot *slot) {
    pthread_mutex_lock(&hub);
    bool settled = slot->phase == CLOSED && !slot->users;
    if (settled) {
        peer *peer = &slot->peer;
        uint64_t came = peer->broadcasts + peer->directs, expected = peer_expects(peer) + slot->attempts, dropped = 0;
        for (unsigned cause = 0; cause < HB_CAUSES; cause++) dropped += slot->counts->drops[cause];
        if (slot->temper != VANISHING && came + dropped != expected) {
            FAIL("connection %lu: of %lu messages %lu came and %lu were counted as dropped", peer->connection, expected, came, dropped);
        }
        received += peer->broadcasts;
        hb_counts_drop(slot->counts);
        hb_outlet_drop(slot->outlet);
        pthread_mutex_destroy(&peer->lock);
        close(slot->theirs);
        slot->phase = FREE;
    }
    pthread_mutex_unlock(&hub);
    return settled;
}

void join(actor *actor, slot *slot, unsigned id) {
    channel *channel = &channels[id];
    pthread_mutex_lock(&hub);
    unsigned stays = slot->peer.stay_count[id];
    if (slot->phase == OPEN && slot->outlet->open && !slot->members[id] && stays < STAYS) {
        unsigned count = 0;
        for (unsigned i = 0; i < SHARDS; i++) count += channel->members[i];
        while (!count && channel->shard_count) hb_shard_drop(channel->shards[--channel->shard_count]);
        if (!channel->shard_count || (channel->shard_count < SHARDS && !chance(actor, 20))) {
            channel->shards[channel->shard_count++] = hb_shard_new(writers, id + 1);
        }
        unsigned shard = chance(actor, channel->shard_count);
        pthread_mutex_lock(&slot->peer.lock);
        slot->peer.stays[id][stays] = (stay){channel->number + 1, UINT64_MAX};
        slot->peer.stay_count[id]++;
        pthread_mutex_unlock(&slot->peer.lock);
        slot->shard_of[id] = shard;
        channel->members[shard]++;
        slot->members[id] = hb_member_join(channel->shards[shard], slot->outlet);
    }
    pthread_mutex_unlock(&hub);
}

void leave(slot *slot, unsigned channel) {
    pthread_mutex_lock(&hub);
    if (slot->phase == OPEN) leave_locked(slot, channel);
    pthread_mutex_unlock(&hub);
}

// The slot's outlet, which is used from then on until `done_with`; NULL if there is none.
static hb_outlet *use(slot *slot, actor *actor, head *head) {
    pthread_mutex_lock(&hub);
    hb_outlet *outlet = slot->phase == OPEN ? slot->outlet : NULL;
    if (outlet) {
        slot->users++;
        head->connection = slot->peer.connection;
        slot->attempts += head->tag == DIRECT;
        for (unsigned i = 0; i < CHANNELS; i++) {
            unsigned stays = slot->peer.stay_count[i];
            bool since = slot->members[i] && slot->peer.stays[i][stays - 1].first <= actor->marks[i];
            head->marks[i] = since && !excludes(slot->peer.slot, actor->marks[i]) ? actor->marks[i] : 0;
        }
    }
    pthread_mutex_unlock(&hub);
    return outlet;
}

static void done_with(slot *slot) {
    pthread_mutex_lock(&hub);
    slot->users--;
    pthread_mutex_unlock(&hub);
}

void write_direct(actor *actor, slot *slot, uint8_t tag) {
    unsigned char data[FRAME_SIZE];
    head head = {.tag = tag, .author = (uint8_t)actor->author, .number = ++actor->writes};
    head.size = (uint32_t)(sizeof head + (chance(actor, 100) ? chance(actor, 200) : chance(actor, FRAME_SIZE - sizeof head)));
    hb_outlet *outlet = use(slot, actor, &head);
    if (!outlet) return;
    write_frame(data, head);
    pthread_mutex_lock(&outlet->lock);
    if (tag == PONG) {
        hb_outlet_control(outlet, data, head.size);
    } else {
        hb_outlet_catch_up(outlet);
        if (tag == LAST) hb_outlet_finish(outlet, data, head.size, NULL);
        else hb_outlet_write(outlet, data, head.size, tag == DIRECT ? HB_DIRECT : HB_CONTROL);
    }
    pthread_mutex_unlock(&outlet->lock);
    done_with(slot);
}

static bool has_room(channel *channel) {
    for (unsigned i = 0; i < channel->shard_count; i++) {
        hb_shard *shard = channel->shards[i];
        if (hb_shard_has_room(shard, FRAME_SIZE, 64, 1 << 18)) continue;
        hb_shard_keep(shard);
        pthread_mutex_unlock(&hub);
        hb_shard_wait_for_room(shard, FRAME_SIZE, 64, 1 << 18, 0.02);
        hb_shard_drop(shard);
        return false;
    }
    return true;
}

void broadcast(actor *actor, unsigned id) {
    channel *channel = &channels[id];
    unsigned char data[FRAME_SIZE];
    bool deferred = chance(actor, 2);
    if (actor->turn.count > TURN) end_turn(actor);
    pthread_mutex_lock(&hub);
    if (!has_room(channel)) return;
    head head = {.tag = (uint8_t)id, .author = (uint8_t)actor->author, .number = ++channel->number};
    head.size = (uint32_t)(sizeof head + (chance(actor, 50) ? chance(actor, 200) : chance(actor, FRAME_SIZE - sizeof head)));
    write_frame(data, head);
    uint64_t excluded[SLOTS];
    size_t count = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slots[i].members[id] && excludes(i, head.number)) excluded[count++] = slots[i].outlet->id;
    }
    hb_entry *entry = hb_entry_new(hb_frame_new(data, head.size), excluded, count);
    for (unsigned i = 0; i < channel->shard_count; i++) {
        hb_shard *shard = channel->shards[i];
        if (!channel->members[i]) continue;
        enum hb_posted posted = hb_shard_post(shard, entry, deferred ? &actor->turn : NULL);
        if (posted == HB_POST_PROMISED) hb_turn_promise(&actor->turn, shard);
        else if (posted == HB_POST_WAKES) hb_writers_queue(writers, shard);
    }
    hb_entry_drop(entry);
    actor->marks[id] = head.number;
    pthread_mutex_unlock(&hub);
}

void end_turn(actor *actor) { hb_turn_end(&actor->turn); }
