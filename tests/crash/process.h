/* process.h -- programs started, killed and asked from a test. */
#ifndef TEST_CRASH_PROCESS_H
#define TEST_CRASH_PROCESS_H

#include "syncline_bytes.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Says what is wrong (and, once set, with which seed and where the files lie) and exits with 1. */
void process_context(const char *folder, uint32_t seed);
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

struct process {
    pid_t pid; /* 0: none */
    int out;   /* its standard output, not blocking */
};

/* argv ends with NULL.  Standard error goes to `log` (appended), or stays where it is (NULL).
 * The process dies with this one. */
struct process process_start(char *const *argv, const char *log);
/* SIGKILL, then waits; what it had still written is added to last_words (may be NULL). */
void process_kill(struct process *p, syn_buf *last_words);
int process_wait(struct process *p); /* its exit status, or 128 + signal */
/* What it wrote, added to `out`; waits at most ms for the first byte.  false: its end. */
bool process_read(struct process *p, syn_buf *out, int ms);
/* Runs a program to its end; its exit status. */
int process_run(char *const *argv, const char *log, syn_buf *out);

#endif
