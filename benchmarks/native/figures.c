// What was measured: rates, latencies, CPU time, and segments, between `figures_begin` and `figures_end`.
#include "load.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// Logarithmic histograms: 32 steps to every doubling, so that a figure is at most 3 % off.
enum { STEPS = 32, SIZE = 64 * STEPS };
enum { FIRST, MEDIAN, P99, LAST, EACH, KINDS };
static const char *const kinds[] = {"first", "p50", "p99", "last", "each"};
static uint64_t histogram[KINDS][SIZE], count[KINDS], largest[KINDS];

struct snapshot {
    double wall, load_cpu, server_cpu;  // seconds
    double busy, stolen;                // of all cores, seconds
    uint64_t user, system;              // clock ticks of the server
    uint64_t segments;
    struct totals totals;
};
static struct snapshot sum, begin;

static void note(int kind, uint64_t ns) {
    uint64_t v = ns < STEPS ? STEPS : ns;
    int shift = 58 - __builtin_clzll(v);  // so that 32 <= v >> shift < 64
    histogram[kind][shift * STEPS + (int)(v >> shift) - STEPS]++;
    count[kind]++;
    if (ns > largest[kind]) largest[kind] = ns;
}

static double quantile_us(int kind, double share) {
    uint64_t seen = 0, want = (uint64_t)(share * (double)count[kind]);
    for (int i = 0; i < SIZE; i++) {
        seen += histogram[kind][i];
        if (seen > want) return (double)((uint64_t)(STEPS + i % STEPS) << (i / STEPS)) * 1e-3;
    }
    return (double)largest[kind] * 1e-3;
}

void note_delivery(uint64_t ns) { note(EACH, ns); }

// A message has reached one more of its recipients: the first, the median, the 99 % or the last one?
void note_recipient(const struct message *message, uint64_t at) {
    uint32_t n = message->recipients, got = message->got;
    uint64_t ns = at - message->sent_at;
    if (got == 1) note(FIRST, ns);
    if (got == (n + 1) / 2) note(MEDIAN, ns);
    if (got == n - n / 100) note(P99, ns);
    if (got == n) note(LAST, ns);
}

static double read_clock(clockid_t id) {
    struct timespec t;
    return clock_gettime(id, &t) < 0 ? 0 : (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double load_cpu(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

double server_cpu(void) {
    static clockid_t servers[MOST_SERVERS];
    double sum = 0;
    for (int i = 0; i < MOST_SERVERS && options.servers[i]; i++) {
        if (!servers[i]) clock_getcpuclockid(options.servers[i], &servers[i]);
        sum += read_clock(servers[i]);
    }
    return sum;
}

static void read_ticks(struct snapshot *s, pid_t server) {
    char name[64], line[1024];
    snprintf(name, sizeof name, "/proc/%d/stat", (int)server);
    FILE *file = fopen(name, "r");
    if (!file) return;
    char *end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    unsigned long user = 0, system = 0;
    if (end) sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    s->user += user, s->system += system;
    fclose(file);
}

static void read_machine(struct snapshot *s) {
    double ticks[8] = {0}, second = (double)sysconf(_SC_CLK_TCK);
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return;
    if (fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", ticks, ticks + 1, ticks + 2, ticks + 3, ticks + 4,
               ticks + 5, ticks + 6, ticks + 7) == 8) {
        s->busy = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / second;
        s->stolen = ticks[7] / second;
    }
    fclose(file);
}

// Data segments that reached the members. On loopback a send of up to 64 KB that finds the window open is one.
static uint64_t count_segments(void) {
    uint64_t segments = 0;
    for (int i = 0; i < options.members; i++) {
        struct tcp_info info;
        socklen_t size = sizeof info;
        if (members[i].fd >= 0 && members[i].state != STALLED &&
            getsockopt(members[i].fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
            segments += info.tcpi_data_segs_in;
    }
    return segments;
}

static struct snapshot take(void) {
    struct snapshot s = {.wall = read_clock(CLOCK_MONOTONIC), .load_cpu = load_cpu(), .server_cpu = server_cpu()};
    for (int i = 0; i < MOST_SERVERS && options.servers[i]; i++) read_ticks(&s, options.servers[i]);
    read_machine(&s);
    s.totals = totals;
    return s;
}

// Nothing is measured while it is paused.
void figures_pause(bool paused) {
    struct snapshot now = take();
    measuring = !paused;
    if (!paused) {
        begin = now;
        return;
    }
    sum.wall += now.wall - begin.wall;
    sum.load_cpu += now.load_cpu - begin.load_cpu;
    sum.server_cpu += now.server_cpu - begin.server_cpu;
    sum.busy += now.busy - begin.busy;
    sum.stolen += now.stolen - begin.stolen;
    sum.user += now.user - begin.user;
    sum.system += now.system - begin.system;
    sum.totals.messages += now.totals.messages - begin.totals.messages;
    sum.totals.deliveries += now.totals.deliveries - begin.totals.deliveries;
    sum.totals.wire_bytes += now.totals.wire_bytes - begin.totals.wire_bytes;
    sum.totals.reads += now.totals.reads - begin.totals.reads;
    sum.totals.turns += now.totals.turns - begin.totals.turns;
    sum.totals.full_turns += now.totals.full_turns - begin.totals.full_turns;
}

void figures_begin(void) {
    if (options.signal) kill(options.servers[0], SIGUSR2);
    sum.segments = count_segments();
    figures_pause(false);
}

void figures_end(void) {
    if (measuring) figures_pause(true);
    sum.segments = count_segments() - sum.segments;
    if (options.signal) kill(options.servers[0], SIGUSR2);
}

static double wall(void) { return sum.wall > 0 ? sum.wall : 1; }

static void print_machine(void) {
    printf("\"others_cpu\": %.3f, \"stolen_cpu\": %.3f, ", (sum.busy - sum.load_cpu - sum.server_cpu) / wall(),
           sum.stolen / wall());
}

static void print_user_share(void) {
    uint64_t both = sum.user + sum.system;
    printf("\"user_share\": %.2f, ", both ? (double)sum.user / (double)both : 0);
}

// What every run ends with: what opening took, and the faults.
static void print_end(void) {
    double opened = accepts.count ? (double)accepts.count : 1;
    printf("\"accepted_per_s\": %.0f, \"accept_cpu_us\": %.3f, \"accept_load_cpu\": %.3f, ", opened / accepts.wall,
           accepts.cpu * 1e6 / opened, accepts.load_cpu / accepts.wall);
    if (options.tls) printf("\"tls\": \"%s\", ", tls_described());
    const struct {
        const char *name;
        uint64_t count;
    } counted[] = {{"lost", faults.lost},
                   {"duplicates", faults.duplicates},
                   {"out_of_order", faults.out_of_order},
                   {"damaged", faults.damaged},
                   {"disconnected", faults.disconnected},
                   {"unfinished", faults.unfinished}};
    for (int i = 0; i < 6; i++)
        printf("\"%s\": %llu%s", counted[i].name, (unsigned long long)counted[i].count, i < 5 ? ", " : "}\n");
}

void accepts_print(void) {
    printf("{\"accepted\": %llu, ", (unsigned long long)accepts.count);
    if (options.accept) printf("\"close_cpu_us\": %.3f, ", accepts.closing * 1e6 / (double)accepts.count);
    print_machine();
    print_user_share();
    print_end();
}

void figures_print(bool finished) {
    // When clients only buffer, deliveries are read while nothing is measured.
    double deliveries = options.buffer ? (double)sum.totals.messages * options.members : (double)sum.totals.deliveries;
    double each = deliveries ? deliveries : 1;
    printf("{\"deliveries_per_s\": %.0f, \"messages_per_s\": %.1f, \"deliveries\": %.0f, \"seconds\": %.4f, ",
           deliveries / wall(), (double)sum.totals.messages / wall(), deliveries, sum.wall);
    printf("\"load_cpu\": %.3f, ", sum.load_cpu / wall());
    printf("\"load_full\": %.3f, ", sum.totals.turns ? (double)sum.totals.full_turns / (double)sum.totals.turns : 0);
    if (!options.buffer) print_machine();  // its slices are shorter than the machine's ticks
    printf("\"server_cpu\": %.3f, \"cpu_us\": %.4f, ", sum.server_cpu / wall(), sum.server_cpu * 1e6 / each);
    print_user_share();
    if (options.churn == 0 && !options.buffer) printf("\"segments\": %.4f, ", (double)sum.segments / each);
    printf("\"wire_bytes\": %.1f, \"reads\": %.4f, ",
           (double)sum.totals.wire_bytes / each, (double)sum.totals.reads / each);
    for (int k = 0; k < KINDS; k++)
        if (count[k])
            printf("\"%s_us\": %.1f, \"%s_us_p99\": %.1f, ", kinds[k], quantile_us(k, 0.5), kinds[k],
                   quantile_us(k, 0.99));
    printf("\"last_us_max\": %.1f, ", (double)largest[LAST] * 1e-3);
    printf("\"compressed\": %s, \"stalled_cut\": %d, \"finished\": %s, ", negotiated ? "true" : "false", cut_off,
           finished ? "true" : "false");
    print_end();
}
