/* main.c -- the table of commands, and how one is chosen. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
    &commands_serve,  &commands_get,   &commands_text,   &commands_set,     &commands_insert,
    &commands_delete, &commands_incr,  &commands_watch,  &commands_docs,    &commands_log,
    &commands_sync,   &commands_fsck,  &commands_backup, &commands_restore, &commands_compact,
    &commands_replay, &commands_token, &commands_top,    &commands_bench,   &commands_load,
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *to)
{
    (void)fputs("syncline: documents that many people edit at once, online or not\n\n"
                "usage: syncline COMMAND ...        syncline COMMAND --help        "
                "syncline --version\n\n",
                to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(to, "  %-9s%s\n", commands[i]->name, commands[i]->summary);
    (void)fputs(
        "\nTARGET is a server, ws://HOST:PORT or wss://HOST:PORT, or a database file.\n"
        "A server with a secret: give it in the environment variable SYNCLINE_TOKEN.\n"
        "A wss:// server with a certificate of your own: its authority's file in SYNCLINE_CA.\n\n"
        "First steps:\n"
        "  syncline serve &                                       # syncline.db, port 7700\n"
        "  syncline set ws://127.0.0.1:7700 notes /title '\"Plan\"'\n"
        "  syncline insert ws://127.0.0.1:7700 notes body 0 'Hello'\n"
        "  syncline get ws://127.0.0.1:7700 notes                 # "
        "{\"body\":\"Hello\",\"title\":\"Plan\"}\n\n"
        "Exit status: 0 done, 1 failed (one line on stderr says why), 2 wrong use.\n",
        to);
}

static int run(const struct command *command, int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
        (void)printf("usage: syncline %s\n\n%s", command->synopsis, command->help);
        return finish_output(EXIT_DONE);
    }
    return command->run(command, argc, argv);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* `ulimit -f` is a full disk, not the end */
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return finish_output(EXIT_DONE);
    }
    if (strcmp(name, "--version") == 0) {
        (void)puts("syncline " SYN_VERSION);
        return finish_output(EXIT_DONE);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i]->name) == 0) return run(commands[i], argc - 2, argv + 2);
    (void)fprintf(stderr, "syncline: there is no command %s; see syncline --help\n", name);
    return EXIT_USAGE;
}
