// The client's side of TLS, where OpenSSL's headers are there. Every handshake is a full one (nothing is resumed), and
// all servers get the same offer: TLS 1.3, one cipher, one curve. The certificate's signature is checked as in every
// handshake; who signed the certificate is not.
#include "load.h"

#include <errno.h>

#if __has_include(<openssl/ssl.h>) && !defined NO_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <fcntl.h>
#include <signal.h>

#define CIPHER "TLS_AES_128_GCM_SHA256"
#define CURVE "X25519"

static SSL_CTX *context;

bool tls_begin(void) {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL knows no MSG_NOSIGNAL
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(context, CIPHER) || !SSL_CTX_set1_groups_list(context, CURVE))
        stop("OpenSSL has no TLS 1.3 with " CIPHER " and " CURVE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return true;
}

void tls_open(struct member *m) {
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new_socket(m->fd, BIO_NOCLOSE);
    m->tls = SSL_new(context);
    if (!m->tls || !in || !out) stop("no memory for TLS");
    SSL_set_bio(m->tls, in, out);
    SSL_set_connect_state(m->tls);
    fcntl(m->fd, F_SETFL, O_NONBLOCK);
}

void tls_close(struct member *m) {
    SSL_free(m->tls);
    m->tls = NULL;
}

// A connection that ends without TLS's own word for it counts as reset.
static ssize_t outcome(struct member *m, int n) {
    if (n > 0) return n;
    int why = SSL_get_error(m->tls, n);
    ERR_clear_error();
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

void tls_arrived(struct member *m, const void *data, size_t size) {
    if (BIO_write(SSL_get_rbio(m->tls), data, (int)size) != (int)size) stop("no memory for TLS");
}

ssize_t tls_read(struct member *m, void *data, size_t size) { return outcome(m, SSL_read(m->tls, data, (int)size)); }

ssize_t tls_write(struct member *m, const void *data, size_t size) {
    return outcome(m, SSL_write(m->tls, data, (int)size));
}

const char *tls_described(void) { return "TLS 1.3, " CIPHER ", " CURVE; }
#else
bool tls_begin(void) { return false; }

void tls_open(struct member *m) { (void)m; }

void tls_close(struct member *m) { (void)m; }

void tls_arrived(struct member *m, const void *data, size_t size) { (void)m, (void)data, (void)size; }

ssize_t tls_read(struct member *m, void *data, size_t size) { return (void)m, (void)data, (void)size, -1; }

ssize_t tls_write(struct member *m, const void *data, size_t size) { return (void)m, (void)data, (void)size, -1; }

const char *tls_described(void) { return ""; }
#endif
