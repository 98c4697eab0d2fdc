/* process.c -- see process.h. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *context_folder;
static uint32_t context_seed;

void process_context(const char *folder, uint32_t seed)
{
    context_folder = folder;
    context_seed = seed;
}

void give_up(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "FAILED: ");
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    if (context_folder != NULL)
        (void)fprintf(stderr, "seed %u; the files are in %s\n", context_seed, context_folder);
    exit(1);
}

static void become(char *const *argv, const char *log, int out)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(out, STDOUT_FILENO);
    if (log != NULL) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd >= 0) (void)dup2(fd, STDERR_FILENO);
    }
    (void)execv(argv[0], argv);
    _exit(127);
}

struct process process_start(char *const *argv, const char *log)
{
    int ends[2];
    struct process p = {0};
    if (pipe2(ends, O_CLOEXEC) != 0) give_up("pipe: %s", strerror(errno));
    p.pid = fork();
    if (p.pid < 0) give_up("fork: %s", strerror(errno));
    if (p.pid == 0) become(argv, log, ends[1]);
    (void)close(ends[1]);
    p.out = ends[0];
    (void)fcntl(p.out, F_SETFL, O_NONBLOCK);
    return p;
}

int process_wait(struct process *p)
{
    int status = 0;
    while (waitpid(p->pid, &status, 0) < 0)
        if (errno != EINTR) give_up("waitpid: %s", strerror(errno));
    (void)close(p->out);
    memset(p, 0, sizeof *p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void process_kill(struct process *p, syn_buf *last_words)
{
    if (p->pid == 0) return;
    (void)kill(p->pid, SIGKILL);
    while (last_words != NULL && process_read(p, last_words, 1000)) {
    }
    int status = process_wait(p);
    if (status != 128 + SIGKILL)
        give_up("a process ended by itself before it was killed: %d", status);
}

bool process_read(struct process *p, syn_buf *out, int ms)
{
    char bytes[4096];
    struct pollfd ready = {.fd = p->out, .events = POLLIN};
    if (poll(&ready, 1, ms) <= 0) return true;
    for (;;) {
        ssize_t n = read(p->out, bytes, sizeof bytes);
        if (n == 0) return false;
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        if (syn_buf_append(out, bytes, (size_t)n) != SYN_OK) give_up("no memory");
    }
}

int process_run(char *const *argv, const char *log, syn_buf *out)
{
    struct process p = process_start(argv, log);
    while (process_read(&p, out, 1000)) {
    }
    return process_wait(&p);
}
