/* serve.c -- `serve`: the server as a process of its own. */
#include "cli.h"
#include "serve_limits.h"
#include "webhook.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES  1024
#define DRAIN_SECONDS 10

/* The first line of a file. */
static int read_secret(const char *path, char secret[SECRET_BYTES])
{
    FILE *file = fopen(path, "r");
    if (file == NULL) return failed("secret file %s cannot be opened: %s", path, strerror(errno));
    bool got = fgets(secret, SECRET_BYTES, file) != NULL;
    (void)fclose(file);
    if (got) secret[strcspn(secret, "\r\n")] = '\0';
    if (got && secret[0] != '\0') return EXIT_DONE;
    return failed("%s: its first line must be the secret", path);
}

/* Without this a wrong folder would show only as a 404 to each visitor. */
static bool is_folder(const char *path)
{
    struct stat at;
    return stat(path, &at) == 0 && S_ISDIR(at.st_mode);
}

static void print_ready(const syn_server *server, const syn_server_config *config)
{
    const char *listen = config->listen != NULL ? config->listen : "127.0.0.1:7700";
    const char *colon = strrchr(listen, ':');
    int host = colon != NULL ? (int)(colon - listen) : (int)strlen(listen);
    (void)printf("syncline: ready %s://%.*s:%u data=%s\n", config->tls_cert != NULL ? "wss" : "ws",
                 host, listen, syn_server_port(server), config->data);
    (void)fflush(stdout);
}

static void on_changed(void *user, syn_str document, const syn_doc *doc)
{
    (void)document;
    (void)doc;
    webhooks_wake(user);
}

static void on_deleted(void *user, syn_str document)
{
    (void)document;
    webhooks_wake(user);
}

static void wait_for_end(syn_server *server, const sigset_t *signals)
{
    int signal_number = SIGHUP;
    while (signal_number == SIGHUP) {
        (void)sigwait(signals, &signal_number);
        if (signal_number == SIGHUP) syn_server_reload(server);
    }
}

/* Signals are blocked before the server's thread begins, so that they come here. */
static int serve(const syn_server_config *config, webhooks *hooks)
{
    syn_server *server = NULL;
    char detail[256] = "";
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    syn_err err = syn_server_start(&server, config, detail);
    if (err != SYN_OK)
        return failed("cannot serve: %s", detail[0] != '\0' ? detail : syn_strerror(err));
    if (hooks != NULL) err = webhooks_start(hooks, server);
    if (err == SYN_OK) {
        print_ready(server, config);
        wait_for_end(server, &signals);
    }
    webhooks_end(hooks);
    syn_server_stop(server, DRAIN_SECONDS * 1000);
    return err == SYN_OK ? EXIT_DONE : failed("cannot serve: no thread for the webhooks");
}

static int serve_with(syn_server_config *config, const char *hook_file)
{
    char detail[256] = "";
    if (hook_file == NULL) return serve(config, NULL);
    webhooks *hooks = webhooks_read(hook_file, config->log_json, detail);
    if (hooks == NULL) return failed("%s", detail);
    config->user = hooks;
    config->changed = on_changed;
    config->deleted = on_deleted;
    int status = serve(config, hooks);
    webhooks_free(hooks);
    return status;
}

/* Left out: as many as the machine has processors, but one for the documents; a small one has no
 * use for more threads. */
static bool read_loops(const char *text, uint32_t *out)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    char *end;
    *out = processors > 4 ? 4 : processors > 2 ? (uint32_t)processors - 1 : 1;
    if (text == NULL) return true;
    unsigned long number = strtoul(text, &end, 10);
    *out = (uint32_t)number;
    return *text >= '0' && *text <= '9' && *end == '\0' && number >= 1 && number <= 16;
}

static int run_with(const struct command *self, int argc, char **argv, const char *limits)
{
    bool show_limits = false;
    const char *secret_file = NULL, *hook_file = NULL, *loops = NULL;
    char secret[SECRET_BYTES];
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.data = "syncline.db";
    config.secret = getenv("SYNCLINE_SECRET");
    config.limits = limits;
    const struct option_spec specs[] = {{"listen", &config.listen, NULL},
                                        {"data", &config.data, NULL},
                                        {"web", &config.web, NULL},
                                        {"secret", &config.secret, NULL},
                                        {"secret-file", &secret_file, NULL},
                                        {"insecure", NULL, &config.insecure},
                                        {"log-json", NULL, &config.log_json},
                                        {"limits", NULL, &show_limits},
                                        {"deflate", NULL, &config.deflate},
                                        {"http2", NULL, &config.http2},
                                        {"tls-cert", &config.tls_cert, NULL},
                                        {"tls-key", &config.tls_key, NULL},
                                        {"keys", &config.keys, NULL},
                                        {"origin", &config.origins, NULL},
                                        {"issuer", &config.issuer, NULL},
                                        {"audience", &config.audience, NULL},
                                        {"webhooks", &hook_file, NULL},
                                        {"loops", &loops, NULL},
                                        {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 0, 0)) return EXIT_USAGE;
    if (show_limits) return print_limits(limits);
    if (!read_loops(loops, &config.loops)) return wrong_use(self, "--loops is a number, 1 to 16");
    if (secret_file != NULL) {
        int status = read_secret(secret_file, secret);
        if (status != EXIT_DONE) return status;
        config.secret = secret;
    }
    if (config.secret != NULL && config.secret[0] == '\0')
        return wrong_use(self, "an empty secret lets nobody in; leave it out, or give one");
    if (config.web != NULL && !is_folder(config.web))
        return failed("cannot serve: --web %s: there is no such folder", config.web);
    return serve_with(&config, hook_file);
}

static int run_serve(const struct command *self, int argc, char **argv)
{
    char *limits;
    if (!take_limits(self, &argc, argv, &limits)) return EXIT_USAGE;
    int status = run_with(self, argc, argv, limits);
    free(limits);
    return status;
}

const struct command commands_serve = {
    .name = "serve",
    .run = run_serve,
    .synopsis = "serve [--listen HOST:PORT] [--data FILE] [--web DIR] [--secret SECRET] ...",
    .summary = "serve documents from a database file",
    .help =
        "Serves the documents of one database file over WebSocket, and prints one line when it\n"
        "accepts connections: syncline: ready ws://127.0.0.1:7700 data=FILE.  What anyone has "
        "seen\n"
        "is on the disk.  SIGTERM or Ctrl-C: finishes what came in, says goodbye, exit status "
        "0.\n\n"
        "  --listen HOST:PORT  where to listen (127.0.0.1:7700; port 0: any free one)\n"
        "  --data FILE         the database, made if it is missing (syncline.db)\n"
        "  --web DIR           also serve the files of DIR over HTTP, and /echo, which answers a\n"
        "                      text message X with \"Hello, X!\" (for a first WebSocket client)\n"
        "  --secret SECRET     clients must bring it (or in the variable SYNCLINE_SECRET)\n"
        "  --secret-file FILE  ... its first line is the secret (keeps it out of `ps`)\n"
        "  --keys FILE         clients bring a token (JWT) signed by one of these keys (a JWK "
        "Set;\n"
        "                      see syncline token --help); SIGHUP reads the file again\n"
        "  --issuer NAME       ... and tokens must come from this issuer (iss)\n"
        "  --audience NAME     ... and be meant for this server (aud)\n"
        "  --origin LIST       pages of these origins may connect, like https://app.example,...\n"
        "                      (pages of the server's own host, and programs, if it is left out)\n"
        "  --tls-cert FILE     certificate chain (PEM): wss:// and https:// only, TLS 1.2 or 1.3\n"
        "  --tls-key FILE      ... its key; SIGHUP reads both again, nobody is dropped\n"
        "  --webhooks FILE     tell other programs over HTTP which documents changed (JSON file: "
        "see\n"
        "                      the README); signed, sent again until it was taken\n"
        "  --loops N           threads for the sockets, 1 to 16 (about one for each processor, at\n"
        "                      most 4); 1: documents and sockets share one\n"
        "  --memory SIZE       stay below it (256M, 1G): load is shed with a code, and comes "
        "again\n"
        "  --limit NAME=VALUE  how fast and how much anybody may: user_events=1000, ... (K, M, G;\n"
        "                      as often as needed, or with commas)\n"
        "  --limits            print all limits, what happens beyond each and what it is for\n"
        "  --insecure          listen beyond this machine without a secret\n"
        "  --log-json          log lines as JSON objects\n"
        "  --deflate, --http2  permessage-deflate; WebSocket over HTTP/2: refused, with the "
        "reason,\n"
        "                      where the libwebsockets in use cannot do them safely\n\n"
        "On the same port over HTTP: /healthz, /metrics (Prometheus; see syncline top), and\n"
        "documents, a change feed and administration under /v1 (net/openapi.json).\n\n"
        "Examples:\n"
        "  syncline serve\n"
        "  syncline serve --listen 0.0.0.0:7700 --data /var/lib/notes.db --secret-file secret.txt\n"
        "  SYNCLINE_TOKEN=$(cat secret.txt) syncline docs ws://server:7700\n",
};
