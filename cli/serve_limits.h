/* serve_limits.h -- the limits of `serve`: taking them from the command line, showing them. */
#ifndef SYN_SERVE_LIMITS_H
#define SYN_SERVE_LIMITS_H

#include "cli.h"

/* Takes every `--limit LIST` and `--memory SIZE` out of argv, for they may be given many times, and
 * joins them with commas into *list (malloced, never NULL when it is true).  False: a line of wrong
 * use was printed. */
bool take_limits(const struct command *self, int *argc, char **argv, char **list);
/* The table of `serve --limits`, with what `list` sets. */
int print_limits(const char *list);

#endif
