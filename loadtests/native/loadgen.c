/* A load generator for one URL: one thread, epoll, HTTP/1.1 keep-alive, one line of JSON at the end.
 *
 *   cc -O2 -o loadgen loadgen.c -lm
 *   ./loadgen --url http://127.0.0.1:9100/v1/chat/completions --body FILE [-H "name: value"]... [options]
 *
 *   --connections N   closed loop: N callers, each asks again once answered (1: sequential). Open loop: the most to open
 *   --rate R          open loop: Poisson arrivals, R a second, whether or not earlier ones were answered. Latency counts from
 *                     the moment a call was meant to start, so a stalled server cannot hide its queue
 *   --seconds S --warm W   measured time, and time before it that is not counted
 *   --events N        a stream must carry N "data:" events and end with [DONE], else it counts as broken
 *   --ids FILE        one line per call: id, status (0: sent, but no whole answer came), 1 if it was measured
 *   --seed N
 *
 * Sixteen "@" in a row, in a header or the body, become a call's own hexadecimal number, so that its rows can be found again.
 * Classes: admitted (200), refused (503, which should carry retry-after), other. Loopback use; trusts the server's framing
 * enough to measure it, not to be attacked by it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "histogram.h"

enum {
    READ_SIZE = 256 << 10,
    BATCH = 256,
    MARK = 16, /* the length of "@@@@@@@@@@@@@@@@", and of a number in hexadecimal */
    MARKS_MAX = 8,
};

#define SECOND 1000000000ull
#define DRAIN (5 * SECOND)    /* how long after the end an answer may still come */
#define RETRY (10 * 1000000ull) /* pause after a refused connection: a restarting server is not hammered */

enum { ADMITTED, REFUSED, OTHER, CLASSES };
static const char *class_names[] = {"admitted", "refused", "other"};
static Histogram latency[CLASSES], first_byte;
static unsigned long long broken, broken_total, incomplete, connect_failures, connections_opened, bytes_in, no_retry_after, sent_total, unsent;
static unsigned long long statuses[600];

typedef enum { CLOSED, CONNECTING, IDLE, WAITING } State; /* WAITING: a request is out, its answer is not whole */

typedef struct Conn {
    int fd;
    State state;
    Answer answer;
    char *request;
    size_t sent;
    uint64_t number, intended, retry_at;
    int counted, out_armed;
} Conn;

static struct sockaddr_in server;
static char *template;
static size_t template_len, marks[MARKS_MAX];
static int n_marks, ep, timer_fd;
static int want_events = -1;
static uint64_t next_number, start, measure_from, stop_at;
static FILE *ids;
static Conn *conns;
static int n_conns;
static int *idle, n_idle, opened, live; /* open loop: a stack of idle connections; live counts calls out */
static int some_closed = 1;
static uint64_t *queue, queue_head, queue_tail, queue_cap; /* intended times that found no connection free */
static double rate;
static uint64_t rng = 88172645463325252ull;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void *must(void *p) {
    if (p == NULL) { perror("memory"); exit(1); }
    return p;
}

static void usage(const char *why) {
    fprintf(stderr, "loadgen: %s (the head of loadgen.c lists the options)\n", why);
    exit(2);
}

/* ---- arrivals ---- */

static double uniform(void) { /* xorshift64*, (0, 1] */
    rng ^= rng >> 12; rng ^= rng << 25; rng ^= rng >> 27;
    return (double)((rng * 2685821657736338717ull >> 11) + 1) / 9007199254740992.0;
}

static uint64_t gap(void) { return (uint64_t)(-log(uniform()) / rate * 1e9); }

static void enqueue(uint64_t intended) {
    if (queue_tail - queue_head == queue_cap) {
        uint64_t cap = queue_cap ? 2 * queue_cap : 4096, *bigger = must(malloc(cap * sizeof *bigger));
        for (uint64_t i = queue_head; i < queue_tail; i++) bigger[i - queue_head] = queue[i % queue_cap];
        queue_tail -= queue_head;
        queue_head = 0;
        free(queue);
        queue = bigger;
        queue_cap = cap;
    }
    queue[queue_tail++ % queue_cap] = intended;
}

/* ---- connections ---- */

static void watch(Conn *c, int out) {
    if (c->out_armed == out) return;
    c->out_armed = out;
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void log_id(const Conn *c, int status) {
    if (ids) fprintf(ids, "%016llx %d %d\n", (unsigned long long)c->number, status, c->counted);
}

static void shut(Conn *c) {
    if (c->fd >= 0) close(c->fd);
    if (c->state == WAITING) {
        log_id(c, 0);
        broken_total++;
        if (c->counted) broken++;
        live--;
    }
    if (c->state == IDLE && rate > 0) /* the server closed a connection that nobody was using */
        for (int i = 0; i < n_idle; i++) if (&conns[idle[i]] == c) { idle[i] = idle[--n_idle]; break; }
    c->fd = -1;
    c->state = CLOSED;
    some_closed = 1;
    c->out_armed = 0;
}

static void dial(Conn *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) { perror("loadgen: socket"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTING;
    connections_opened++;
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) {
        connect_failures++;
        shut(c);
        c->retry_at = now_ns() + RETRY;
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    c->out_armed = 1;
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static int flush(Conn *c) {
    while (c->sent < template_len) {
        ssize_t n = send(c->fd, c->request + c->sent, template_len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) { watch(c, 1); return 1; }
        if (n < 0) return 0;
        c->sent += (size_t)n;
    }
    watch(c, 0);
    return 1;
}

static void ask(Conn *c, uint64_t intended) {
    static const char hex[] = "0123456789abcdef";
    c->number = next_number++;
    for (int m = 0; m < n_marks; m++)
        for (int i = 0; i < MARK; i++) c->request[marks[m] + (size_t)i] = hex[c->number >> (60 - 4 * i) & 15];
    c->state = WAITING;
    c->sent = 0;
    expect_answer(&c->answer);
    c->intended = intended;
    c->counted = intended >= measure_from && intended < stop_at;
    live++;
    sent_total++;
    if (!flush(c)) shut(c);
}

/* What a connection that can take a call does next. */
static void ready(Conn *c) {
    uint64_t now = now_ns();
    if (rate > 0) {
        if (queue_head < queue_tail) ask(c, queue[queue_head++ % queue_cap]);
        else { c->state = IDLE; idle[n_idle++] = (int)(c - conns); }
    } else if (now < stop_at) ask(c, now);
    else c->state = IDLE;
}

static void arrive(uint64_t intended) {
    if (n_idle) { ask(&conns[idle[--n_idle]], intended); return; }
    enqueue(intended);
    if (opened < n_conns && opened - live < 64) dial(&conns[opened++]); /* at most 64 handshakes at once */
}

static void answered(Conn *c) {
    const Answer *a = &c->answer;
    statuses[a->status]++;
    if (c->counted) {
        int kind = a->status == 200 ? ADMITTED : a->status == 503 ? REFUSED : OTHER;
        record(&latency[kind], now_ns() - c->intended);
        if (kind == REFUSED && !a->has_retry_after) no_retry_after++;
        if (kind == ADMITTED && (a->is_stream ? !stream_is_whole(a, want_events) : want_events >= 0)) incomplete++;
    }
    log_id(c, a->status);
    live--;
    c->state = IDLE;
    if (a->keep) { ready(c); return; }
    c->state = CONNECTING; /* so that shut() does not look for it among the idle */
    shut(c);
    if (rate > 0 || now_ns() < stop_at) dial(c);
}

static void failed(Conn *c) {
    int was_connecting = c->state == CONNECTING;
    if (was_connecting) connect_failures++;
    shut(c);
    c->retry_at = now_ns() + (was_connecting ? RETRY : 0);
}

static void readable(Conn *c) {
    static char buffer[READ_SIZE];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0 && c->state == WAITING) {
        bytes_in += (unsigned long long)n;
        int begun = c->answer.got_body;
        size_t used = eat(&c->answer, buffer, (size_t)n);
        if (!begun && c->answer.got_body && c->answer.is_stream && c->counted) record(&first_byte, now_ns() - c->intended);
        if (c->answer.parse == DONE && used == (size_t)n) { answered(c); return; }
        if (c->answer.parse != DONE && c->answer.parse != BAD) return;
    } else if (n == 0 && c->state == WAITING && c->answer.parse == UNTIL_CLOSE) { answered(c); return; }
    failed(c); /* closed, cut short, or bytes that nobody asked for */
}

static void serve(Conn *c, uint32_t events) {
    if (c->state == CONNECTING && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) { failed(c); return; }
        watch(c, 0);
        ready(c);
        return;
    }
    if (c->state == WAITING && (events & EPOLLOUT) && !flush(c)) { failed(c); return; }
    if (c->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) readable(c);
}

/* ---- start, loop, report ---- */

static void load_request(const char *url, const char *body_path, char **headers, int n_headers) {
    char host[64], path[512] = "/", *body = NULL;
    int port = 80;
    size_t body_len = 0;
    if (sscanf(url, "http://%63[0-9.]:%d%511s", host, &port, path) < 2 || inet_pton(AF_INET, host, &server.sin_addr) != 1)
        usage("--url must be http://<IPv4 address>:<port>/path");
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)port);
    if (body_path != NULL) {
        FILE *f = fopen(body_path, "rb");
        if (f == NULL) usage("cannot read the --body file");
        body = must(malloc(16 << 20));
        body_len = fread(body, 1, 16 << 20, f);
        fclose(f);
    }
    FILE *out = open_memstream(&template, &template_len);
    fprintf(out, "%s %s HTTP/1.1\r\nhost: %s:%d\r\n", body ? "POST" : "GET", path, host, port);
    for (int i = 0; i < n_headers; i++) fprintf(out, "%s\r\n", headers[i]);
    if (body) fprintf(out, "content-type: application/json\r\ncontent-length: %zu\r\n", body_len);
    fprintf(out, "\r\n");
    if (body) fwrite(body, 1, body_len, out);
    fclose(out);
    free(body);
    for (char *p = template; (p = memmem(p, (size_t)(template + template_len - p), "@@@@@@@@@@@@@@@@", MARK)) != NULL; p += MARK) {
        if (n_marks == MARKS_MAX) usage("more than 8 marks");
        marks[n_marks++] = (size_t)(p - template);
    }
}

static void set_timer(uint64_t at) {
    struct itimerspec spec = {.it_value = {(time_t)(at / SECOND), (long)(at % SECOND)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void redial(uint64_t now) {
    some_closed = 0;
    for (int i = 0; i < (rate > 0 ? opened : n_conns); i++)
        if (conns[i].state == CLOSED) {
            if (conns[i].retry_at <= now) dial(&conns[i]);
            else some_closed = 1;
        }
}

static void run(void) {
    struct epoll_event events[BATCH];
    uint64_t next = rate > 0 ? start + gap() : stop_at;
    for (;;) {
        uint64_t now = now_ns();
        if (rate > 0) while (next <= now && next < stop_at) { arrive(next); next += gap(); }
        if (now >= stop_at && ((live == 0 && queue_head == queue_tail) || now >= stop_at + DRAIN)) break;
        if (some_closed && (now < stop_at || queue_head < queue_tail)) redial(now);
        uint64_t wake = now >= stop_at ? stop_at + DRAIN : next < stop_at ? next : stop_at;
        if (some_closed && wake > now + RETRY / 2) wake = now + RETRY / 2;
        set_timer(wake);
        int n = epoll_wait(ep, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            uint64_t expirations;
            if (c == NULL) { if (read(timer_fd, &expirations, sizeof expirations) < 0) continue; }
            else serve(c, events[i].events);
        }
    }
    for (int i = 0; i < n_conns; i++) shut(&conns[i]); /* what is still out counts as broken */
    for (; queue_head < queue_tail; queue_head++) unsent += queue[queue_head % queue_cap] >= measure_from;
}

static void report(double measured) {
    unsigned long long all = 0;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    for (int i = 0; i < CLASSES; i++) all += latency[i].count;
    printf("{\"requests\":%llu,\"seconds\":%.3f,\"rps\":%.1f,\"admitted_rps\":%.1f,", all, measured, (double)all / measured,
           (double)latency[ADMITTED].count / measured);
    for (int i = 0; i < CLASSES; i++) { print_histogram(class_names[i], &latency[i]); printf(","); }
    print_histogram("first_byte", &first_byte);
    printf(",\"answers\":{"); /* by status, those of the warm-up too */
    const char *comma = "";
    for (int i = 0; i < 600; i++) if (statuses[i]) { printf("%s\"%d\":%llu", comma, i, statuses[i]); comma = ","; }
    printf("},\"broken\":%llu,\"broken_total\":%llu,\"incomplete\":%llu,\"unsent\":%llu,\"no_retry_after\":%llu,"
           "\"connect_failures\":%llu,\"connections\":%llu,\"sent_total\":%llu,\"bytes_in\":%llu,\"cpu_seconds\":%.3f}\n",
           broken, broken_total, incomplete, unsent, no_retry_after, connect_failures, connections_opened, sent_total, bytes_in,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
           + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv) {
    const char *url = NULL, *body = NULL, *ids_path = NULL;
    char *headers[64];
    int n_headers = 0;
    double seconds = 5, warm = 0;
    n_conns = 64;
    for (int i = 1; i < argc; i += 2) {
        const char *k = argv[i];
        char *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (v == NULL) usage("an option without a value");
        if (!strcmp(k, "--url")) url = v;
        else if (!strcmp(k, "--body")) body = v;
        else if (!strcmp(k, "--ids")) ids_path = v;
        else if (!strcmp(k, "--connections")) n_conns = atoi(v);
        else if (!strcmp(k, "--rate")) rate = atof(v);
        else if (!strcmp(k, "--seconds")) seconds = atof(v);
        else if (!strcmp(k, "--warm")) warm = atof(v);
        else if (!strcmp(k, "--events")) want_events = atoi(v);
        else if (!strcmp(k, "--seed")) rng ^= strtoull(v, NULL, 10) * 0x9e3779b97f4a7c15ull;
        else if (!strcmp(k, "-H") && n_headers < 64) headers[n_headers++] = v;
        else usage(k);
    }
    if (url == NULL || n_conns < 1 || seconds <= 0) usage("--url, --connections >= 1 and --seconds > 0 are needed");
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1); /* arrivals on time: the default lets the kernel be 50 us late */
    load_request(url, body, headers, n_headers);
    if (ids_path && (ids = fopen(ids_path, "w")) == NULL) usage("cannot write the --ids file");
    conns = must(calloc((size_t)n_conns, sizeof *conns));
    idle = must(calloc((size_t)n_conns, sizeof *idle));
    for (int i = 0; i < n_conns; i++) {
        conns[i].fd = -1;
        conns[i].request = must(malloc(template_len));
        memcpy(conns[i].request, template, template_len);
    }
    ep = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, timer_fd, &e);
    start = now_ns();
    measure_from = start + (uint64_t)(warm * 1e9);
    stop_at = measure_from + (uint64_t)(seconds * 1e9);
    run();
    if (ids) fclose(ids);
    report(seconds);
}
