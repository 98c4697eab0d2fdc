/* common.c -- options, messages, numbers and output for all commands. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

int failed(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_end();
    (void)fputs("syncline: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return EXIT_FAILED;
}

/* With TLS libwebsockets' reason is a number, and mostly the certificate is one's own. */
const char *what_to_ask(const char *url)
{
    if (strncmp(url, "wss://", 6) != 0) return "is `syncline serve` running there?";
    return "does `syncline serve` run there with TLS, and can its certificate be checked "
           "(SYNCLINE_CA names the file of an authority of your own)?";
}

int wrong_use(const struct command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "syncline %s: ", command->name);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\nusage: syncline %s   (see syncline %s --help)\n", command->synopsis,
                  command->name);
    va_end(args);
    return EXIT_USAGE;
}

/* Takes the option at argv[*at] (and its value) if it is one of specs. */
static bool take_one(const struct command *command, const struct option_spec *spec, int argc,
                     char **argv, int *at)
{
    const char *text = argv[*at] + 2;
    size_t len = strcspn(text, "=");
    for (; spec != NULL && spec->name != NULL; spec++) {
        if (strlen(spec->name) != len || strncmp(spec->name, text, len) != 0) continue;
        if (spec->flag != NULL) {
            *spec->flag = true;
            if (text[len] == '\0') return true;
            (void)wrong_use(command, "--%s takes no value", spec->name);
            return false;
        }
        if (text[len] == '=') {
            *spec->value = text + len + 1;
        } else if (*at + 1 < argc) {
            *spec->value = argv[++*at];
        } else {
            (void)wrong_use(command, "--%s needs a value", spec->name);
            return false;
        }
        return true;
    }
    (void)wrong_use(command, "there is no option %s", argv[*at]);
    return false;
}

bool take_options(const struct command *command, const struct option_spec *specs, int *argc,
                  char **argv, int min, int max)
{
    int kept = 0;
    bool options = true;
    for (int i = 0; i < *argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && strncmp(argv[i], "--", 2) == 0) {
            if (!take_one(command, specs, *argc, argv, &i)) return false;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    if (kept < min || kept > max) {
        (void)wrong_use(command, "%s", kept < min ? "something is missing" : "too many arguments");
        return false;
    }
    return true;
}

bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    if (*text < '0' || *text > '9') return false;
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || n > max) return false;
    *out = n;
    return true;
}

bool read_int64(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits < '0' || *digits > '9') return false;
    char *end = NULL;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0') return false;
    *out = n;
    return true;
}

bool fill_random(void *out, size_t len)
{
    return getrandom(out, len, 0) == (ssize_t)len;
}

/* The line is as wide as the widest so far, so that rests of a longer one are wiped. */
void progress(const char *what, uint64_t done, uint64_t total)
{
    if (!isatty(STDERR_FILENO)) return;
    if (total > 0)
        (void)fprintf(stderr, "\r\033[K%s: %" PRIu64 " of %" PRIu64, what, done, total);
    else
        (void)fprintf(stderr, "\r\033[K%s: %" PRIu64, what, done);
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO)) (void)fputs("\r\033[K", stderr);
}

syn_err write_file(void *file, const void *data, size_t len)
{
    return fwrite(data, 1, len, file) == len ? SYN_OK : SYN_EIO;
}

int finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    return failed("cannot write to standard output: %s", strerror(errno));
}

syn_err copy_text(const syn_doc *doc, syn_obj text, char **out, size_t *bytes)
{
    *bytes = syn_text_bytes(doc, text);
    *out = malloc(*bytes + 1);
    if (*out == NULL) return SYN_ENOMEM;
    (void)syn_text_read(doc, text, 0, syn_text_len(doc, text), *out, *bytes);
    (*out)[*bytes] = '\0';
    return SYN_OK;
}
