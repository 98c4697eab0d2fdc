/* hello.c -- two replicas edit at once and merge. */
#include <stdio.h>
#include <syncline.h>
#include <syncline_bytes.h>

static void send_all(syn_doc *from, syn_doc *to)
{
    syn_buf bytes = {0};
    syn_export_since(from, NULL, 0, &bytes); /* every change; those known already are ignored */
    syn_import(to, bytes.data, bytes.len);
    syn_buf_free(&bytes);
}

int main(void)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    syn_doc *replica[2];
    syn_obj note;
    char text[64];
    for (int i = 0; i < 2; i++) {
        config.peer = 0x9c0ffee1 + (uint64_t)i; /* random in real life, new for every session */
        if (syn_doc_new(&replica[i], &config)) return 1;
        syn_root(replica[i], syn_s("note"), SYN_TEXT, &note);
    }
    syn_text_insert(replica[0], note, 0, syn_s("Hello, world"));
    send_all(replica[0], replica[1]);
    syn_text_insert(replica[0], note, 12, syn_s("!"));      /* at the same time ... */
    syn_text_insert(replica[1], note, 7, syn_s("merged ")); /* ... elsewhere */
    send_all(replica[0], replica[1]);
    send_all(replica[1], replica[0]);
    for (int i = 0; i < 2; i++) {
        size_t len = syn_text_read(replica[i], note, 0, 64, text, sizeof text);
        printf("%.*s\n", (int)len, text); /* Hello, merged world! */
        syn_doc_free(replica[i]);
    }
}
