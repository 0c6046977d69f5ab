/* A log-linear histogram of 64-bit values, as HdrHistogram's: 128 steps per power of two, so less than 1 % wide. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>

enum { SUB = 128, SUB_BITS = 7 };

typedef struct { uint64_t step[(64 - SUB_BITS + 1) * SUB], count, max; double sum; } Histogram;

static int step_of(uint64_t v) {
    if (v < SUB) return (int)v;
    int shift = 63 - __builtin_clzll(v) - SUB_BITS;
    return (shift + 1) * SUB + (int)((v >> shift) - SUB);
}

static double step_value(int i) {
    if (i < SUB) return i;
    int shift = i / SUB - 1;
    return ldexp((double)(SUB + i % SUB) + 0.5, shift);
}

static void record(Histogram *h, uint64_t v) {
    h->step[step_of(v)]++;
    h->count++;
    h->sum += (double)v;
    if (v > h->max) h->max = v;
}

static double quantile(const Histogram *h, double q) {
    uint64_t rank = (uint64_t)ceil(q * (double)h->count), seen = 0;
    for (int i = 0; i < (int)(sizeof h->step / sizeof *h->step); i++)
        if ((seen += h->step[i]) >= rank && seen) return fmin(step_value(i), (double)h->max);
    return 0;
}

static void print_histogram(const char *name, const Histogram *h) {
    printf("\"%s\":{\"count\":%llu", name, (unsigned long long)h->count);
    if (h->count)
        printf(",\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
               h->sum / (double)h->count / 1e3, quantile(h, 0.5) / 1e3, quantile(h, 0.9) / 1e3, quantile(h, 0.99) / 1e3,
               quantile(h, 0.999) / 1e3, (double)h->max / 1e3);
    printf("}");
}
