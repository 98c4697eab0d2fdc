/* load.h -- what the parts of `load` share.
 *
 *     syncline load ---- fork ---- worker 0: one libev loop, many clients (session + ws_client)
 *          |                 ----- worker 1: ...
 *          +-- one block of shared memory: phase, documents, and per worker its figures
 *
 * Processes and not threads, because every connection needs three file descriptors (libwebsockets
 * has a context for each client), and the limit counts per process.  A worker writes only its own
 * figures, and documents under their locks; the first process only watches, adds up, and prints.
 *
 * All times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.  The load
 * is open: when an operation is due does not depend on whether earlier ones were answered, and its
 * latency counts from when it was due, so that a stall is seen by all that fell into it. */
#ifndef SYN_CLI_LOAD_H
#define SYN_CLI_LOAD_H

#include "cli.h"
#include "load_stats.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define LOAD_SLOTS     240u  /* parts of the run's time, each with figures of its own */
#define LOAD_SAMPLES   8192u /* gaps kept per worker, the first ones */
#define LOAD_PROCESSES 16u
#define LOAD_CODES     32u
#define LOAD_REASONS   8u
#define NS_PER_S       1000000000ull

struct load_options {
    const char *url, *token, *ca, *prefix;
    const char *document;                 /* the one and only; NULL: prefix-0 ... */
    uint32_t documents, readers, writers; /* fixed clients: per document */
    double arrivals, stay, writing;       /* per second; seconds; share that writes */
    double edits, presence;               /* per second and client */
    double away;                          /* seconds between the halves of a storm */
    double slow, slow_for;                /* share of readers; seconds without reading */
    double stop_at, stop_for;             /* of stop_readers, once */
    double back_rate;                     /* after a storm; 0: all at once */
    double zipf, connect_rate;            /* connect_rate 0: all at once */
    double duration;
    uint32_t storm, ramp, processes, stop_readers;
    uint64_t seed;
    bool verify;
};

enum load_phase {
    LOAD_CONNECTING, /* the fixed clients come */
    LOAD_RUNNING,
    LOAD_SETTLING, /* nothing new; what is under way arrives */
    LOAD_COMPARING,
    LOAD_ENDING,
};

/* The newest edits of a document, so that who sees one knows when it was due. */
struct load_edit {
    syn_id id; /* its last event */
    uint64_t due;
    uint32_t author; /* client's number */
};

struct load_document {
    pthread_mutex_t lock;
    uint64_t edits;       /* made in this run: newest is ring[(edits - 1) % cap] */
    uint64_t base_events; /* before the run */
    uint64_t most_events; /* of any client, while settling */
    uint64_t digest;
    uint32_t compared, differing;
    bool met; /* base_events is known */
};

struct load_slot {
    uint32_t connections; /* at the slot's end */
    uint64_t edits, deliveries;
    struct hist seen;
};

struct load_worker_figures {
    _Atomic uint32_t connected, live;
    _Atomic uint32_t refused; /* clients that may not open their document */
    /* The phase in which nothing is under way here any more, 0 for none. Not a flag: one that was
     * set while settling would be read as "has compared" before the worker hears of the phase. */
    _Atomic uint32_t level_in;
    _Atomic uint64_t edits, deliveries; /* for the progress line */
    uint64_t acked, rejected, opened, left, failures, lost_sight, presences, presence_seen;
    uint64_t bytes_in, bytes_out, frames_in, pauses, compared;
    uint64_t first_open, last_live; /* of the fixed clients */
    uint64_t codes[LOAD_CODES];
    char reasons[LOAD_REASONS][96];
    uint64_t reason_counts[LOAD_REASONS];
    struct hist handshake, join, rejoin, ack, seen, late; /* microseconds */
    struct hist seen_slow;                /* by who stops reading now and then, and not in seen */
    struct hist seen_before, seen_while;  /* of seen: due before stop_readers stop, and meanwhile */
    struct hist join_bytes, rejoin_bytes; /* received until synced; rejoin: after a storm */
    struct load_slot slots[LOAD_SLOTS];
    double gaps[LOAD_SAMPLES], planned[LOAD_SAMPLES]; /* of arrivals, in means */
    uint32_t gap_count;
    char fault[160]; /* why the worker could not go on */
};

struct load_shared {
    _Atomic uint32_t phase, stop;
    _Atomic uint64_t began; /* LOAD_RUNNING */
    struct load_options options;
    uint32_t ring; /* edits kept per document, a power of two */
    size_t bytes;  /* of the whole block */
    struct load_worker_figures workers[LOAD_PROCESSES];
    struct load_document *docs; /* in the same block */
    struct load_edit *edits;    /* ring of document d: edits + d * ring */
};

/* What is printed and drawn; times in microseconds. */
struct load_result {
    const struct load_options *options;
    struct load_worker_figures *sum; /* slots and histograms of all */
    double seconds, calibrated_us;   /* of one handshake alone */
    uint32_t slots, differing, compared_documents;
    uint64_t missing; /* edits that no client has at the end */
    double ks, ks_p, ks_planned, ks_planned_p;
    uint32_t gap_count;
    bool interrupted;
};

uint64_t load_now(void);
double load_slot_seconds(const struct load_options *options);
uint32_t load_fixed(const struct load_options *options);

/* A worker's whole life; index of options->processes. */
void load_work(struct load_shared *shared, uint32_t index);
/* Median handshake of connections made one after the other, in microseconds; 0: none came about,
 * and why says the reason. */
double load_calibrate(const struct load_options *options, char *why);

/* How many clients of arrivals are expected in slot s of the run. */
double load_expected(const struct load_options *options, double t);
void load_print(FILE *out, const struct load_result *result);
syn_err load_print_json(const struct load_result *result);
bool load_report(const char *path, const struct load_result *result);

#endif
