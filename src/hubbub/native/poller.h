// The one place that waits for sockets to become writable: a thread with an epoll for all outlets of the process that have a
// backlog. It also cuts those that take nothing for too long. It starts with the first backlog, and ends with the process.
#ifndef HUBBUB_POLLER_H
#define HUBBUB_POLLER_H

#include <stdbool.h>

#include "outlet.h"

// Waits once for the outlet's descriptor to become writable, then flushes. Called with the outlet's lock held.
// False: the kernel refused.
bool hb_poller_wait(hb_outlet *outlet);
// Waits no more. Called with the outlet's lock held, before its descriptor is closed.
void hb_poller_forget(hb_outlet *outlet);
// In a child process after a fork, where the thread does not exist: begin anew.
void hb_poller_after_fork(void);

#endif
