/* An HTTP/1.1 answer read in pieces of any size: framing, the events of a stream, and how it ended. No sockets. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 16 << 10 };

typedef enum { HEAD, SIZE, CHUNK, CHUNK_END, TRAILER, LENGTH, UNTIL_CLOSE, DONE, BAD } Parse;

typedef struct {
    Parse parse;
    int status, is_stream, keep, has_retry_after, got_body;
    long long left; /* of the body or the chunk */
    int line_len;   /* of a size or trailer line */
    char head[HEAD_MAX];
    size_t head_len;
    char tail[24]; /* the last bytes of the payload */
    int tail_len, events, at_line_start;
} Answer;

static void expect_answer(Answer *a) {
    a->parse = HEAD;
    a->head_len = 0;
    a->tail_len = a->events = a->got_body = 0;
    a->at_line_start = 1;
}

static const char *header(const char *head, const char *name) {
    size_t n = strlen(name);
    for (const char *p = head; (p = strchr(p, '\n')) != NULL;)
        if (strncasecmp(++p, name, n) == 0) return p + n + strspn(p + n, " ");
    return NULL;
}

static void read_head(Answer *a) {
    const char *v;
    a->status = strncmp(a->head, "HTTP/1.", 7) == 0 ? atoi(a->head + 9) : 0;
    if (a->status < 100 || a->status > 599) { a->parse = BAD; return; }
    a->has_retry_after = header(a->head, "retry-after:") != NULL;
    a->is_stream = (v = header(a->head, "content-type:")) != NULL && strncasecmp(v, "text/event-stream", 17) == 0;
    a->keep = (v = header(a->head, "connection:")) == NULL || strncasecmp(v, "close", 5) != 0;
    if ((v = header(a->head, "transfer-encoding:")) != NULL && strncasecmp(v, "chunked", 7) == 0) {
        a->parse = SIZE;
        a->left = 0;
        a->line_len = 0;
    } else if ((v = header(a->head, "content-length:")) != NULL) {
        a->left = atoll(v);
        a->parse = a->left > 0 ? LENGTH : DONE;
    } else {
        a->parse = UNTIL_CLOSE;
        a->keep = 0;
    }
}

/* Payload bytes, in pieces of any size: counts events, keeps the end. */
static void payload(Answer *a, const char *p, size_t n) {
    const int keep = sizeof a->tail;
    a->got_body = 1;
    if (!a->is_stream) return;
    for (const char *q = p, *end = p + n; q < end;) {
        if (a->at_line_start && *q == 'd') a->events++;
        const char *nl = memchr(q, '\n', (size_t)(end - q));
        a->at_line_start = nl != NULL;
        q = nl ? nl + 1 : end;
    }
    if (n >= (size_t)keep) { memcpy(a->tail, p + n - (size_t)keep, (size_t)keep); a->tail_len = keep; return; }
    int over = a->tail_len + (int)n - keep;
    if (over > 0) { memmove(a->tail, a->tail + over, (size_t)(a->tail_len - over)); a->tail_len -= over; }
    memcpy(a->tail + a->tail_len, p, n);
    a->tail_len += (int)n;
}

static int hex_digit(char ch) {
    return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
}

/* Returns how many bytes belong to this answer. */
static size_t eat(Answer *a, const char *p, size_t n) {
    size_t i = 0;
    while (i < n && a->parse != DONE && a->parse != BAD) switch (a->parse) {
        case HEAD: {
            size_t room = HEAD_MAX - 1 - a->head_len, take = n - i < room ? n - i : room;
            size_t from = a->head_len > 3 ? a->head_len - 3 : 0;
            memcpy(a->head + a->head_len, p + i, take);
            char *end = memmem(a->head + from, a->head_len + take - from, "\r\n\r\n", 4);
            if (end == NULL) { a->head_len += take; i += take; if (take == room) a->parse = BAD; break; }
            i += (size_t)(end + 4 - a->head) - a->head_len;
            end[2] = 0;
            read_head(a);
            break;
        }
        case SIZE: {
            char ch = p[i++];
            int d = hex_digit(ch);
            if (ch == '\n') {
                a->parse = a->line_len == 0 ? BAD : a->left ? CHUNK : TRAILER;
                a->line_len = 0;
            } else if (d >= 0 && a->line_len < 8) { a->left = a->left * 16 + d; a->line_len++; }
            else if (ch != '\r') a->parse = BAD;
            break;
        }
        case LENGTH:
        case CHUNK: {
            size_t take = (long long)(n - i) < a->left ? n - i : (size_t)a->left;
            payload(a, p + i, take);
            i += take;
            if ((a->left -= (long long)take) == 0) a->parse = a->parse == LENGTH ? DONE : CHUNK_END;
            break;
        }
        case CHUNK_END:
            if (p[i++] == '\n') { a->parse = SIZE; a->left = a->line_len = 0; }
            break;
        case TRAILER: {
            char ch = p[i++];
            if (ch == '\n') { if (a->line_len == 0) a->parse = DONE; a->line_len = 0; }
            else if (ch != '\r') a->line_len++;
            break;
        }
        default: payload(a, p + i, n - i); i = n;
    }
    return i;
}

static int stream_is_whole(const Answer *a, int want_events) {
    static const char end[] = "data: [DONE]\n\n";
    int n = (int)sizeof end - 1;
    return a->tail_len >= n && memcmp(a->tail + a->tail_len - n, end, (size_t)n) == 0 && (want_events < 0 || a->events == want_events);
}
