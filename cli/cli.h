/* cli.h -- what the commands share: their table entry, options, words for errors, progress.
 *
 * A command gets its own arguments (argv[0] is the first after the command's name) and returns the
 * exit status: 0 done, 1 failed with one line on stderr, 2 wrong use. */
#ifndef SYN_CLI_H
#define SYN_CLI_H

#include "syncline.h"
#include "syncline_bytes.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    int (*run)(const struct command *self, int argc, char **argv);
    const char *synopsis; /* "get TARGET DOC [PATH]" */
    const char *summary;  /* one line of `syncline --help` */
    const char *help;     /* what, options, examples */
};

extern const struct command commands_serve, commands_get, commands_text, commands_set,
    commands_insert, commands_delete, commands_incr, commands_watch, commands_docs, commands_sync,
    commands_log, commands_replay, commands_bench, commands_fsck, commands_backup, commands_restore,
    commands_compact, commands_token, commands_load, commands_top;

/* An option of a command: `--name VALUE` (or --name=VALUE) into *value, or a flag into *flag. */
struct option_spec {
    const char *name;
    const char **value;
    bool *flag;
};

/* Takes the options out of argv (they may stand anywhere; `--` ends them; only what begins with two
 * dashes is one, so that -3 is a number) and leaves `*argc` operands, which must be min..max.
 * False: a line of wrong use was printed. specs end with a NULL name; may be NULL. */
bool take_options(const struct command *command, const struct option_spec *specs, int *argc,
                  char **argv, int min, int max);

/* One line on stderr: "syncline: ...".  Return EXIT_FAILED and EXIT_USAGE. */
int failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What somebody looks at first when a server at `url` does not answer. */
const char *what_to_ask(const char *url);
int wrong_use(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool read_number(const char *text, uint64_t max, uint64_t *out);
bool read_int64(const char *text, int64_t *out);
bool fill_random(void *out, size_t len);

/* A line on stderr that is rewritten, only if stderr is a terminal; total 0: unknown. */
void progress(const char *what, uint64_t done, uint64_t total);
void progress_end(void);

/* syn_write_fn to a FILE *. */
syn_err write_file(void *file, const void *data, size_t len);
/* Flushes stdout; EXIT_FAILED (said) if anything could not be written, else `status`. */
int finish_output(int status);

/* The whole text of a container, malloced (never NULL on SYN_OK). */
syn_err copy_text(const syn_doc *doc, syn_obj text, char **out, size_t *bytes);

#endif
