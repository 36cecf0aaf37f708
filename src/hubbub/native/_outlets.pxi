# Part of _fanout.pyx: outlets, and what they have to tell the event loop.

cdef extern from *:
    """
    // How a C outlet names its Outlet, without keeping it. With the GIL the address will do, for an Outlet takes it out
    // before it lets go of the GIL. Without, it may be on its way out on another thread: a weak reference knows.
    #ifdef Py_GIL_DISABLED
    static PyObject *name_of(PyObject *outlet) { return PyWeakref_NewRef(outlet, NULL); }
    static void forget_name(PyObject *name) { Py_XDECREF(name); }
    static PyObject *named(PyObject *name) {
        PyObject *outlet = NULL;
        if (name && PyWeakref_GetRef(name, &outlet) < 0) return NULL;
        Py_XDECREF(name);
        return outlet ? outlet : Py_NewRef(Py_None);
    }
    #else
    static PyObject *name_of(PyObject *outlet) { return outlet; }
    static void forget_name(PyObject *name) { (void)name; }
    static PyObject *named(PyObject *name) { return name ? name : Py_NewRef(Py_None); }
    #endif
    """
    PyObject *name_of(object) except NULL
    void forget_name(PyObject *)
    object named(PyObject *)  # takes over a reference to the name
    void Py_XINCREF(PyObject *)
    void Py_XDECREF(PyObject *)
    unsigned long PyThread_get_thread_ident()


cdef object _notices_of = WeakKeyDictionary()


cdef class Notices:
    """What the outlets of one event loop have to tell it."""

    cdef hb_notices *c
    cdef unsigned long thread  # that the loop runs on
    cdef object __weakref__

    def __cinit__(self):
        self.c = hb_notices_new()
        if self.c == NULL:
            raise OSError(errno, strerror(errno).decode())

    def __dealloc__(self):
        if self.c != NULL:
            hb_notices_close(self.c)
            hb_notices_drop(self.c)

    @staticmethod
    cdef Notices of(object loop):
        notices = _notices_of.get(loop)
        if notices is None:
            notices = Notices()
            loop.add_reader((<Notices>notices).c.fd, (<Notices>notices).tell)
            (<Notices>notices)._precede(loop)
            _notices_of[loop] = notices  # last: what failed to start is nobody's
        (<Notices>notices).thread = PyThread_get_thread_ident()  # outlets are made where the loop runs
        return <Notices>notices

    cdef _precede(self, loop):
        """A loop that is closed with connections open closes their descriptors, and tells nobody: detach them first."""
        close = loop.close

        def detach_and_close():
            if not loop.is_running():  # or it refuses, and goes on
                # A loop that is collected instead has no members, which would keep it; and the collector may run on a
                # thread that has a hub's lock. Its weak references have been cleared by then.
                if loop in _notices_of:
                    self._detach_all()
                with nogil:
                    hb_notices_close(self.c)
            close()

        loop.close = detach_and_close

    cdef _detach_all(self):
        """Through each Outlet, which tells its hubs."""
        cdef hb_outlet *c
        cdef PyObject *name
        cdef Outlet outlet
        while (c := hb_notices_first(self.c)) != NULL:
            lock(c)
            name = keep_name(c)
            pthread_mutex_unlock(&c.lock)
            outlet = named(name)
            if outlet is not None:
                outlet.detach()
            else:  # another thread is about to let go of it
                lock(c)
                hb_outlet_detach(c)
                pthread_mutex_unlock(&c.lock)
            hb_outlet_drop(c)

    def tell(self):
        cdef hb_outlet *c
        cdef PyObject *name
        cdef Outlet outlet
        cdef uint8_t notice, cut
        cdef uint32_t lost
        for _ in range(AT_ONCE):
            c = hb_notices_take(self.c)
            if c == NULL:
                return
            lock(c)
            notice, lost, cut = c.notice, c.lost, c.cut
            c.notice = 0
            c.lost = 0
            name = keep_name(c)
            pthread_mutex_unlock(&c.lock)
            hb_outlet_drop(c)
            outlet = named(name)
            if outlet is not None:
                outlet.tell(notice, lost, cut)


cdef inline void lock(hb_outlet *c) noexcept:
    """A writer may hold it for the length of a send: let another thread have the interpreter meanwhile.

    Whoever had to wait lets go and tries again: waiting for the interpreter while holding it would hold up writers, and
    for ever a thread that has the interpreter and waits for the outlet.
    """
    while pthread_mutex_trylock(&c.lock) != 0:
        with nogil:
            pthread_mutex_lock(&c.lock)
            pthread_mutex_unlock(&c.lock)


cdef inline PyObject *keep_name(hb_outlet *c) noexcept:
    """With its lock held: an Outlet that goes forgets its name after it had that lock."""
    cdef PyObject *name = <PyObject *>c.owner
    Py_XINCREF(name)
    return name


cdef inline bint write_and_unlock(hb_outlet *c, const char *start, size_t size) noexcept nogil:
    hb_outlet_catch_up(c)
    cdef bint accepted = hb_outlet_write(c, start, size, HB_DIRECT)
    if accepted:
        hb_count(&c.counts.writes, 1)
        hb_count(&c.counts.bytes, size)
    pthread_mutex_unlock(&c.lock)
    return accepted


cdef inline object form_of(hb_outlet *c):
    return c.form + 8 if c.form else None


cdef class Outlet:
    cdef hb_outlet *c
    cdef object _owner
    cdef Notices _notices
    cdef readonly object loop
    cdef public tuple hubs
    cdef public object memberships
    cdef object __weakref__

    def __cinit__(self, int descriptor, object owner, object loop, object limits, object counters, bint owned=False):
        cdef hb_bounds bounds
        bounds.backlog = limits.max_backlog
        bounds.total_backlog = limits.max_total_backlog
        bounds.stall_ms = <uint64_t>(min(limits.backlog_timeout, FOR_EVER) * 1000)
        self._notices = Notices.of(loop)
        self.c = hb_outlet_new(descriptor, owned, self._notices.c, (<Counts?>counters.native).c, bounds, NULL)
        if self.c == NULL:
            raise OSError(errno, strerror(errno).decode())
        self.c.owner = name_of(self)
        self._owner = owner
        self.loop = loop
        self.hubs = ()

    def __dealloc__(self):
        cdef PyObject *name
        cdef PyObject *why
        if self.c == NULL:
            return
        name = <PyObject *>self.c.owner
        self.c.owner = NULL  # first: `lock` may let another thread have the GIL, which must not find us then
        if hb_outlet_ours(self.c):
            lock(self.c)
            hb_outlet_detach(self.c)
            why = <PyObject *>self.c.why
            self.c.why = NULL
            pthread_mutex_unlock(&self.c.lock)
            hb_outlet_drop(self.c)
            Py_XDECREF(why)
        else:
            hb_outlet_abandon(self.c)
        forget_name(name)

    @property
    def thread(self):
        return self._notices.thread

    @property
    def open(self):
        return self.c.open

    @property
    def clogged(self):
        return self.c.buffered > 0

    @property
    def ending(self):
        cdef PyObject *why
        lock(self.c)
        cut = CUTS[self.c.cut]
        why = <PyObject *>self.c.why
        Py_XINCREF(why)
        pthread_mutex_unlock(&self.c.lock)
        if why == NULL:
            return cut
        ended = <object>why
        Py_XDECREF(why)
        return ended

    @property
    def buffered(self):
        return self.c.buffered

    @property
    def form(self):
        return form_of(self.c)

    @property
    def overflow(self):
        return POLICIES[self.c.policy]

    @overflow.setter
    def overflow(self, name):
        cdef uint8_t policy = POLICIES.index(name)
        lock(self.c)
        self.c.policy = policy
        pthread_mutex_unlock(&self.c.lock)

    def count_in(self, counters):
        cdef Counts counts = counters.native
        cdef hb_counts *before
        lock(self.c)
        before = self.c.counts
        self.c.counts = hb_counts_keep(counts.c)
        pthread_mutex_unlock(&self.c.lock)
        hb_counts_drop(before)

    def start(self, form, bytes greeting):
        cdef hb_frame *frame = hb_frame_new(PyBytes_AS_STRING(greeting), PyBytes_GET_SIZE(greeting))
        if frame == NULL:
            raise MemoryError
        lock(self.c)
        hb_outlet_start(self.c, 0 if form is None else form - 8, frame)
        pthread_mutex_unlock(&self.c.lock)
        hb_frame_drop(frame)

    def write(self, frame):
        cdef bytes data = frame._encoded(form_of(self.c))
        if waiting and later(self._write_in_order, data):
            return self.c.open
        return self._write_in_order(data)

    def _write_in_order(self, bytes data):
        return self._write(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    def send(self, data):
        cdef unsigned char small[SMALL_FRAME]
        cdef const char *payload
        cdef Py_ssize_t size
        cdef size_t head, whole
        cdef bytes large
        cdef unsigned char *to = small
        if type(data) is bytes:
            payload = PyBytes_AS_STRING(data)
            size = PyBytes_GET_SIZE(data)
        else:
            payload = PyUnicode_AsUTF8AndSize(data, &size)
        head = encode_head_size(size)
        whole = head + <size_t>size
        if whole > SMALL_FRAME:
            large = PyBytes_FromStringAndSize(NULL, whole)
            to = <unsigned char *>PyBytes_AS_STRING(large)
        encode_head(to, 0x82 if type(data) is bytes else 0x81, size)
        memcpy(to + head, payload, size)
        if waiting and later(self._write_in_order, PyBytes_FromStringAndSize(<char *>to, whole)):
            return self.c.open
        return self._write(<char *>to, whole)

    def control(self, bytes data):
        lock(self.c)
        accepted = hb_outlet_control(self.c, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        pthread_mutex_unlock(&self.c.lock)
        return accepted

    cdef bint _write(self, const char *start, size_t size):
        cdef hb_outlet *c = self.c
        cdef bint accepted
        if size <= HELD and pthread_mutex_trylock(&c.lock) == 0:
            return write_and_unlock(c, start, size)
        with nogil:
            pthread_mutex_lock(&c.lock)
            accepted = write_and_unlock(c, start, size)
        return accepted

    def finish(self, bytes data, why=None):
        if waiting and later(self._finish_in_order, data, why):
            return self.c.open
        return self._finish_in_order(data, why)

    def _finish_in_order(self, bytes data, why):
        cdef PyObject *kept = <PyObject *>why if why is not None else NULL
        cdef const char *start = PyBytes_AS_STRING(data)
        cdef size_t size = PyBytes_GET_SIZE(data)
        cdef bint finished
        Py_XINCREF(kept)
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            hb_outlet_catch_up(self.c)
            finished = hb_outlet_finish(self.c, start, size, kept)
            pthread_mutex_unlock(&self.c.lock)
        if not finished:
            Py_XDECREF(kept)
        self._leave_all()  # now: the peer may take its time to answer
        return finished

    def detach(self):
        lock(self.c)
        hb_outlet_detach(self.c)
        pthread_mutex_unlock(&self.c.lock)
        self._leave_all()

    cdef _leave_all(self):
        cdef tuple hubs
        with critical_section(self):
            hubs = self.hubs
        for hub in hubs:
            hub._forget(self)

    def pause(self):
        """The transport's own buffer is full: no frame of ours waits there."""

    def resume(self):
        """It is empty again."""

    def go_on(self):
        lock(self.c)
        hb_outlet_go_on(self.c)
        pthread_mutex_unlock(&self.c.lock)

    def tell_when_drained(self):
        lock(self.c)
        waits = self.c.open and self.c.backlog != NULL
        self.c.telling = waits
        pthread_mutex_unlock(&self.c.lock)
        return waits

    def call_owner(self, callback, *args):
        try:
            if PyThread_get_thread_ident() == self._notices.thread:
                self.loop.call_soon(callback, *args)
            else:
                self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed, and with it every connection it had
            self.detach()

    cdef tell(self, uint8_t notice, uint32_t lost, uint8_t cut):
        if notice & HB_DROPPED and lost:
            self._owner.dropped(lost)
        if notice & HB_CUT:
            self._owner.cut(CUTS[cut])
        if notice & HB_DRAINED:
            self._owner.drained()
        if notice & HB_FLUSHED:
            self._owner.flushed()
