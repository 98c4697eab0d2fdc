/* serve_limits.c -- serve_limits.h. */
#include "serve_limits.h"

#include "server_limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of `--name VALUE` or `--name=VALUE` at *at, which moves onto the value; NULL: it is
 * another argument.  "": the value is missing. */
static const char *value_of(const char *name, int argc, char **argv, int *at)
{
    size_t len = strlen(name);
    const char *text = argv[*at];
    if (strncmp(text, name, len) != 0) return NULL;
    if (text[len] == '=') return text + len + 1;
    if (text[len] != '\0') return NULL;
    return *at + 1 < argc ? argv[++*at] : "";
}

static bool append(char **list, const char *prefix, const char *value)
{
    size_t old = *list != NULL ? strlen(*list) : 0;
    size_t size = old + strlen(prefix) + strlen(value) + 2;
    char *grown = realloc(*list, size);
    if (grown == NULL) return false;
    (void)snprintf(grown + old, size - old, "%s%s%s", old != 0 ? "," : "", prefix, value);
    *list = grown;
    return true;
}

static bool check(const struct command *self, const char *list)
{
    struct limits limits;
    char why[200] = "";
    limits_default(&limits);
    if (limits_read(&limits, list, why) == SYN_OK) return true;
    (void)wrong_use(self, "%s (see syncline serve --limits)", why);
    return false;
}

bool take_limits(const struct command *self, int *argc, char **argv, char **list)
{
    int kept = 0;
    bool options = true;
    *list = NULL;
    bool good = append(list, "", "");
    for (int i = 0; good && i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) options = false;
        const char *limit = options ? value_of("--limit", *argc, argv, &i) : NULL;
        const char *memory =
            options && limit == NULL ? value_of("--memory", *argc, argv, &i) : NULL;
        if (limit != NULL)
            good = append(list, "", limit);
        else if (memory != NULL)
            good = append(list, "memory=", memory);
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    if (good && check(self, *list)) return true;
    free(*list);
    *list = NULL;
    return false;
}

/* Whole G, M or K of bytes; else the number. */
static const char *number(uint64_t value, const char *unit, char out[32])
{
    static const char *const suffixes[] = {"", "K", "M", "G"};
    int shifts = 0;
    bool bytes = strncmp(unit, "bytes", 5) == 0;
    while (bytes && value != 0 && value % 1024 == 0 && shifts < 3) {
        value /= 1024;
        shifts++;
    }
    if (value == 0)
        (void)snprintf(out, 32, "none");
    else
        (void)snprintf(out, 32, "%" PRIu64 "%s", value, suffixes[shifts]);
    return out;
}

static void print_row(const char *name, uint64_t value, const char *unit, enum code code,
                      bool permanent, const char *effect, const char *reason)
{
    char text[32];
    (void)printf("%-21s %11s %-8s %-18s %-16s %-10s %s\n", name, number(value, unit, text), unit,
                 effect, code == CODE_OK ? "-" : proto_code_name(code),
                 code == CODE_OK ? "-"
                 : permanent     ? "for good"
                                 : "come again",
                 reason);
}

int print_limits(const char *list)
{
    struct limits limits;
    char why[200];
    limits_default(&limits);
    (void)limits_read(&limits, list, why);
    (void)printf("%-21s %11s %-8s %-18s %-16s %-10s %s\n", "LIMIT", "VALUE", "UNIT", "BEYOND IT",
                 "CODE", "REFUSED", "WHAT FOR");
    for (unsigned i = 0; i < LIM_COUNT; i++) {
        const struct limit_info *info = limits_info((enum limit)i);
        print_row(info->name, limits.of[i], info->unit, info->code, info->permanent, info->effect,
                  info->reason);
    }
    (void)printf(
        "\nSet by --limit NAME=VALUE; 0: none.  A user without sign-in is one connection.\n"
        "\"wait\": credit is kept back, which costs a client nothing but time; then changes "
        "get a\nNack, then the connection ends, both with the time to come again.\n\n"
        "Of the protocol, the same on every server:\n");
    for (size_t i = 0; limits_fixed(i) != NULL; i++) {
        const struct limit_fixed *row = limits_fixed(i);
        print_row(row->name, row->value, row->unit, row->code, row->permanent, row->effect,
                  row->reason);
    }
    return finish_output(EXIT_DONE);
}
