// Where the kernel gives no thread, the pool still writes: whoever posts does it. And when it gives one again, it is used.
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "shard.h"
#include "writers.h"

int main(void) {
    pthread_attr_t few, absurd;
    pthread_getattr_default_np(&few);
    pthread_attr_init(&absurd);
    pthread_attr_setstacksize(&absurd, (size_t)1 << 62);
    pthread_setattr_default_np(&absurd);

    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) FAIL("no socketpair");
    hb_counts *counts = hb_counts_new();
    hb_notices *notices = hb_notices_new();
    hb_writers *writers = hb_writers_new(1, 2, counts);
    hb_shard *shard = hb_shard_new(writers, 1);
    hb_outlet *outlet = hb_outlet_new(ends[0], false, notices, counts, (hb_bounds){1 << 20, 1 << 20, 1000}, NULL);
    hb_outlet_start(outlet, HB_PLAIN, NULL);
    hb_member *member = hb_member_join(shard, outlet);
    for (unsigned number = 0; number < 3; number++) {
        if (number == 2) pthread_setattr_default_np(&few);
        hb_entry *entry = hb_entry_new(hb_frame_new("message", 7), NULL, 0);
        if (hb_shard_post(shard, entry, NULL) != HB_POST_WAKES) FAIL("message %u: nobody was to come, and none has", number);
        hb_writers_queue(writers, shard);
        hb_entry_drop(entry);
        char message[8] = "";
        size_t expected = number == 2 ? MSG_WAITALL : MSG_DONTWAIT;  // the third is a writer's
        if (recv(ends[1], message, 7, (int)expected) != 7 || strcmp(message, "message")) FAIL("message %u did not come", number);
        while (hb_writers_look(writers).waiting) usleep(1000);
    }
    hb_writers_state state = hb_writers_look(writers);
    if (state.failures != 2 || state.size != 1) FAIL("%lu failures, %u writers", state.failures, state.size);
    hb_member_leave(member);
    hb_outlet_detach(outlet);
    hb_outlet_drop(outlet);
    hb_shard_drop(shard);
    hb_writers_stop(writers);
    hb_writers_drop(writers);
    hb_notices_drop(notices);
    hb_counts_drop(counts);
    puts("ok");
    return 0;
}
