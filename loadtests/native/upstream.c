/* A fake OpenAI upstream that is meant never to be the bottleneck: one thread, epoll, precomputed bytes.
 *
 *   cc -O2 -o upstream upstream.c && ./upstream 9100
 *
 *   POST .../chat/completions  JSON, or SSE when the body says "stream": true: one send() per event, back to back or
 *                              gap_us apart; the usage event only if the body says "include_usage": true
 *   GET .../models             one model
 *   GET /stats                 counters since the start, as JSON
 *   GET /control?latency_us=&gap_us=&chunks=&content_bytes=&fail_percent=
 *                              changes what the next answers are; answers under way keep what they began with
 *
 * latency_us is from the whole request being read to the first byte. fail_percent answers 500, evenly spread.
 * Requests must carry Content-Length (411 otherwise). Loopback only; not a general HTTP server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CHUNKS = 10000,
    MAX_REQUEST = 8 << 20, /* a 10 KB prompt is the largest the bench sends; 8 MiB leaves room for size tests */
    FIRST_BUFFER = 16 << 10,
    BATCH = 256,
};

typedef struct { char *data; size_t len; } Span;

/* Everything an answer needs. Shared by the connections that began with it, freed after the last of them. */
typedef struct {
    int refs;
    Span json, failure, *events;
    int n_events, usage_at;
    long latency_us, gap_us, chunks, content_bytes, fail_percent;
} Script;

typedef struct Conn {
    int fd, out_armed, heap_at; /* heap_at: place in the timer heap, -1 when not waiting */
    char *in;
    size_t len, cap;
    Script *script; /* not NULL while an answer is under way */
    Span *next, *end, *skip; /* what is still to send; skip is the usage event nobody asked for */
    size_t sent;             /* of *next */
    uint64_t due;
} Conn;

static int ep, timer_fd, listener;
static Script *current;
static struct { unsigned long long requests, answered, streams, failed, aborted, connections, open, body_bytes; } stats;
static long fail_credit;

static Conn **heap;
static int heap_len, heap_cap;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *must(void *p) {
    if (p == NULL) { perror("memory"); exit(1); }
    return p;
}

static Span text(const char *format, ...) {
    va_list args;
    char *data = NULL;
    va_start(args, format);
    int n = vasprintf(&data, format, args);
    va_end(args);
    if (n < 0) { perror("memory"); exit(1); }
    return (Span){data, (size_t)n};
}

/* ---- timers: a binary heap by due time, with one timerfd set to its top ---- */

static void heap_put(int i, Conn *c) { heap[i] = c; c->heap_at = i; }

static void heap_settle(int i) {
    Conn *c = heap[i];
    while (i > 0 && heap[(i - 1) / 2]->due > c->due) { heap_put(i, heap[(i - 1) / 2]); i = (i - 1) / 2; }
    for (;;) {
        int kid = 2 * i + 1;
        if (kid + 1 < heap_len && heap[kid + 1]->due < heap[kid]->due) kid++;
        if (kid >= heap_len || heap[kid]->due >= c->due) break;
        heap_put(i, heap[kid]);
        i = kid;
    }
    heap_put(i, c);
}

static void timer_arm(void) {
    uint64_t due = heap_len ? heap[0]->due : 0;
    struct itimerspec at = {.it_value = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void wait_until(Conn *c, uint64_t due) {
    if (heap_len == heap_cap) {
        heap_cap = heap_cap ? 2 * heap_cap : 256;
        heap = must(realloc(heap, (size_t)heap_cap * sizeof *heap));
    }
    c->due = due;
    heap_put(heap_len++, c);
    heap_settle(c->heap_at);
    if (heap[0] == c) timer_arm();
}

static void forget(Conn *c) {
    int i = c->heap_at;
    if (i < 0) return;
    c->heap_at = -1;
    Conn *last = heap[--heap_len];
    if (last != c) { heap_put(i, last); heap_settle(i); }
}

/* ---- answers ---- */

static Span http(const char *status, const char *body) {
    return text("HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status, strlen(body), body);
}

static Span chunk(const char *head, const char *data, const char *tail) {
    return text("%s%zx\r\ndata: %s\n\n\r\n%s", head, strlen(data) + 8, data, tail);
}

static Script *script(long latency_us, long gap_us, long chunks, long content_bytes, long fail_percent) {
    static const char prose[] = "A prompt is resolved, rendered, guarded and sent on; the answer comes back as it is made. ";
    static const char stamp[] = "\"created\":1760000000,\"model\":\"fake-model\",\"system_fingerprint\":\"fp_fake\"";
    Script *s = must(calloc(1, sizeof *s));
    *s = (Script){.refs = 1, .latency_us = latency_us, .gap_us = gap_us, .chunks = chunks,
                  .content_bytes = content_bytes, .fail_percent = fail_percent};

    char *content = must(malloc((size_t)content_bytes + 1));
    for (long i = 0; i < content_bytes; i++) content[i] = prose[(size_t)i % (sizeof prose - 1)];
    content[content_bytes] = 0;
    Span body = text("{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion\",%s,\"choices\":[{\"index\":0,\"message\":"
                     "{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                     "\"usage\":{\"prompt_tokens\":25,\"completion_tokens\":%ld,\"total_tokens\":%ld}}",
                     stamp, content, chunks, chunks + 25);
    s->json = http("200 OK", body.data);
    free(body.data);
    free(content);
    s->failure = http("500 Internal Server Error", "{\"error\":{\"message\":\"made to fail\",\"type\":\"server_error\"}}");

    s->events = must(calloc((size_t)chunks + 3, sizeof *s->events));
    const char *head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
                       "transfer-encoding: chunked\r\n\r\n";
    for (long i = 0; i < chunks; i++) {
        Span e = text("{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",%s,\"choices\":[{\"index\":0,\"delta\":"
                      "{%s\"content\":\" token%ld\"},\"logprobs\":null,\"finish_reason\":null}]}",
                      stamp, i ? "" : "\"role\":\"assistant\",", i);
        s->events[s->n_events++] = chunk(i ? "" : head, e.data, "");
        free(e.data);
    }
    Span e = text("{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",%s,\"choices\":[{\"index\":0,\"delta\":{},"
                  "\"logprobs\":null,\"finish_reason\":\"stop\"}]}", stamp);
    s->events[s->n_events++] = chunk("", e.data, "");
    free(e.data);
    e = text("{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",%s,\"choices\":[],\"usage\":{\"prompt_tokens\":25,"
             "\"completion_tokens\":%ld,\"total_tokens\":%ld}}", stamp, chunks, chunks + 25);
    s->usage_at = s->n_events;
    s->events[s->n_events++] = chunk("", e.data, "");
    free(e.data);
    s->events[s->n_events++] = chunk("", "[DONE]", "0\r\n\r\n");
    return s;
}

static void release(Script *s) {
    if (--s->refs) return;
    for (int i = 0; i < s->n_events; i++) free(s->events[i].data);
    free(s->events);
    free(s->json.data);
    free(s->failure.data);
    free(s);
}

/* ---- connections ---- */

static void hang_up(Conn *c) {
    if (c->script) { stats.aborted++; release(c->script); }
    forget(c);
    close(c->fd);
    stats.open--;
    free(c->in);
    free(c);
}

static void watch(Conn *c, int out) {
    if (c->out_armed == out) return;
    c->out_armed = out;
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

/* Sends what is due. False when the peer is gone. */
static int push(Conn *c) {
    Script *s = c->script;
    while (c->next < c->end) {
        ssize_t n = send(c->fd, c->next->data + c->sent, c->next->len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) { watch(c, 1); return 1; }
        if (n < 0) return 0;
        c->sent += (size_t)n;
        if (c->sent < c->next->len) continue;
        c->sent = 0;
        c->next += c->next + 1 == c->skip ? 2 : 1;
        if (s->gap_us && c->end - c->next > 2) { wait_until(c, now_ns() + (uint64_t)s->gap_us * 1000u); return 1; }
    }
    watch(c, 0);
    stats.answered++;
    c->script = NULL;
    release(s);
    return 1;
}

static int is_true(const char *body, size_t len, const char *key) {
    const char *end = body + len, *p = body;
    size_t n = strlen(key);
    while ((p = memmem(p, (size_t)(end - p), key, n)) != NULL) {
        int quoted = p > body && p[-1] == '\\'; /* inside a string value */
        p += n;
        if (quoted) continue;
        while (p < end && (*p == ' ' || *p == ':')) p++;
        return end - p >= 4 && memcmp(p, "true", 4) == 0;
    }
    return 0;
}

static int chat(Conn *c, const char *body, size_t len) {
    Script *s = c->script = current;
    s->refs++;
    c->sent = 0;
    c->skip = NULL;
    stats.requests++;
    stats.body_bytes += len;
    if ((fail_credit += s->fail_percent) >= 100) {
        fail_credit -= 100;
        stats.failed++;
        c->next = &s->failure;
        c->end = c->next + 1;
    } else if (is_true(body, len, "\"stream\"")) {
        stats.streams++;
        c->next = s->events;
        c->end = s->events + s->n_events;
        if (!is_true(body, len, "\"include_usage\"")) c->skip = s->events + s->usage_at;
    } else {
        c->next = &s->json;
        c->end = c->next + 1;
    }
    if (s->latency_us) { wait_until(c, now_ns() + (uint64_t)s->latency_us * 1000u); return 1; }
    return push(c);
}

static int reply(Conn *c, const char *status, const char *body) {
    Span all = http(status, body);
    int whole = send(c->fd, all.data, all.len, MSG_NOSIGNAL) == (ssize_t)all.len;
    free(all.data);
    return whole;
}

static void setting(const char *query, const char *name, long low, long high, long *value) {
    const char *p = strstr(query, name);
    if (p == NULL || p[strlen(name)] != '=') return;
    long v = atol(p + strlen(name) + 1);
    *value = v < low ? low : v > high ? high : v;
}

static int control(Conn *c, const char *query) {
    long latency = current->latency_us, gap = current->gap_us, chunks = current->chunks;
    long content = current->content_bytes, fail = current->fail_percent;
    setting(query, "latency_us", 0, 60000000, &latency);
    setting(query, "gap_us", 0, 60000000, &gap);
    setting(query, "chunks", 1, MAX_CHUNKS, &chunks);
    setting(query, "content_bytes", 1, 16 << 20, &content);
    setting(query, "fail_percent", 0, 100, &fail);
    release(current);
    current = script(latency, gap, chunks, content, fail);
    Span s = text("{\"latency_us\":%ld,\"gap_us\":%ld,\"chunks\":%ld,\"content_bytes\":%ld,\"fail_percent\":%ld}",
                  latency, gap, chunks, content, fail);
    int ok = reply(c, "200 OK", s.data);
    free(s.data);
    return ok;
}

static int report(Conn *c) {
    Span s = text("{\"requests\":%llu,\"answered\":%llu,\"streams\":%llu,\"failed\":%llu,\"aborted\":%llu,\"connections\":%llu,"
                  "\"open\":%llu,\"body_bytes\":%llu}", stats.requests, stats.answered, stats.streams, stats.failed, stats.aborted,
                  stats.connections, stats.open, stats.body_bytes);
    int ok = reply(c, "200 OK", s.data);
    free(s.data);
    return ok;
}

/* line is "POST /v1/chat/completions HTTP/1.1", cut at its end by a zero byte */
static int answer(Conn *c, char *line, const char *body, size_t len) {
    char *target = strchr(line, ' ');
    if (target == NULL) return 0;
    if (line[0] == 'P' && strstr(target, "/chat/completions ")) return chat(c, body, len);
    if (strncmp(target, " /control?", 10) == 0) return control(c, target);
    if (strncmp(target, " /stats ", 8) == 0) return report(c);
    if (strstr(target, "/models "))
        return reply(c, "200 OK", "{\"object\":\"list\",\"data\":[{\"id\":\"fake-model\",\"object\":\"model\",\"created\":1,\"owned_by\":\"fake\"}]}");
    return reply(c, "404 Not Found", "{\"error\":{\"message\":\"no such route\",\"type\":\"invalid_request_error\"}}");
}

static long content_length(const char *head, const char *end) {
    for (const char *p = head; (p = memchr(p, '\n', (size_t)(end - p))) != NULL;) {
        p++;
        if ((*p | 32) == 'c' && strncasecmp(p, "content-length:", 15) == 0) return atol(p + 15);
    }
    return -1;
}

/* Answers every whole request in the buffer. False when the connection must go. */
static int drain(Conn *c) {
    while (c->len && c->script == NULL) {
        char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
        if (end == NULL) return c->len < FIRST_BUFFER;
        size_t head = (size_t)(end - c->in) + 4;
        long declared = content_length(c->in, end);
        if (declared < 0 && c->in[0] == 'P') { reply(c, "411 Length Required", "{}"); return 0; }
        size_t body = declared > 0 ? (size_t)declared : 0, whole = head + body;
        if (whole > MAX_REQUEST) { reply(c, "413 Content Too Large", "{}"); return 0; }
        if (c->len < whole) {
            if (whole > c->cap) c->in = must(realloc(c->in, c->cap = whole));
            return 1;
        }
        *(char *)memchr(c->in, '\r', head) = 0;
        if (!answer(c, c->in, c->in + head, body)) return 0;
        c->len -= whole;
        if (c->len) memmove(c->in, c->in + whole, c->len);
    }
    return 1;
}

static void readable(Conn *c) {
    if (c->len == c->cap) c->in = must(realloc(c->in, c->cap *= 2));
    ssize_t n = c->cap > 2 * MAX_REQUEST ? 0 : recv(c->fd, c->in + c->len, c->cap - c->len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { hang_up(c); return; }
    c->len += (size_t)n;
    if (!drain(c)) hang_up(c);
}

static void accept_all(void) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Conn *c = must(calloc(1, sizeof *c));
        *c = (Conn){.fd = fd, .heap_at = -1, .cap = FIRST_BUFFER, .in = must(malloc(FIRST_BUFFER))};
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        stats.connections++;
        stats.open++;
    }
}

static void fire(void) {
    uint64_t expirations, now = now_ns();
    if (read(timer_fd, &expirations, sizeof expirations) < 0) return;
    while (heap_len && heap[0]->due <= now) {
        Conn *c = heap[0];
        forget(c);
        if (!push(c) || !drain(c)) hang_up(c);
    }
    timer_arm();
}

static void serve(Conn *c, uint32_t events) {
    if ((events & EPOLLOUT) && c->out_armed) {
        watch(c, 0);
        if (!push(c) || !drain(c)) { hang_up(c); return; }
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 9100, one = 1;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a bench that is killed leaves nothing behind */
    prctl(PR_SET_TIMERSLACK, 1);
    current = script(0, 0, 50, 200, 0);
    ep = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) { perror("upstream: bind"); return 1; }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener}, ready[BATCH];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    e.data.ptr = &timer_fd;
    epoll_ctl(ep, EPOLL_CTL_ADD, timer_fd, &e);
    for (;;) {
        int n = epoll_wait(ep, ready, BATCH, -1), timers = 0;
        for (int i = 0; i < n; i++) {
            if (ready[i].data.ptr == &listener) accept_all();
            else if (ready[i].data.ptr == &timer_fd) timers = 1; /* last: it may free connections that are still in this batch */
            else serve(ready[i].data.ptr, ready[i].events);
        }
        if (timers) fire();
    }
}
