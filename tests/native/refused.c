// A kernel without memory for a socket that is writable: what waits is tried again now and then, and leaves when it can.
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "outlet.h"
#include "peer.h"

static atomic_int refusal;  // what sending fails with; 0: it does not
static atomic_uint tries;

// These stand before the C library's.
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    atomic_fetch_add(&tries, 1);
    if ((errno = atomic_load(&refusal))) return -1;
    return syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    struct iovec piece = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    return sendmsg(fd, &message, flags);
}

static bool write_to(hb_outlet *outlet, const char *text) {
    pthread_mutex_lock(&outlet->lock);
    bool accepted = hb_outlet_write(outlet, text, strlen(text), HB_DIRECT);
    pthread_mutex_unlock(&outlet->lock);
    return accepted;
}

static void refused_with(int error) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) FAIL("no socketpair");
    hb_counts *counts = hb_counts_new();
    hb_notices *notices = hb_notices_new();
    hb_outlet *outlet = hb_outlet_new(ends[0], false, notices, counts, (hb_bounds){1 << 20, 1 << 20, 10000}, NULL);
    hb_outlet_start(outlet, 0, NULL);

    atomic_store(&tries, 0);
    atomic_store(&refusal, error);
    clock_t before = clock();
    if (!write_to(outlet, "one") || !write_to(outlet, "two")) FAIL("%s: what might wait was refused", strerror(error));
    usleep(600 * 1000);
    double spent = (double)(clock() - before) / CLOCKS_PER_SEC;
    unsigned tried = atomic_load(&tries);
    if (spent > 0.2 || tried > 20) FAIL("%s: %u tries, and %.2f s of work, in 0.6 s", strerror(error), tried, spent);
    if (tried < 2) FAIL("%s: it was never tried again", strerror(error));

    atomic_store(&refusal, 0);
    char taken[7] = "";
    if (recv(ends[1], taken, 6, MSG_WAITALL) != 6 || strcmp(taken, "onetwo")) FAIL("%s: '%s' came", strerror(error), taken);
    pthread_mutex_lock(&outlet->lock);
    hb_outlet_detach(outlet);
    pthread_mutex_unlock(&outlet->lock);
    hb_outlet_drop(outlet);
    hb_notices_close(notices);
    hb_notices_drop(notices);
    hb_counts_drop(counts);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    refused_with(ENOBUFS);
    refused_with(ENOMEM);
    puts("ok");
    return 0;
}
