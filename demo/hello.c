/* hello.c -- two replicas edit at once and merge.
 * cc hello.c $(pkg-config --cflags --libs syncline) && ./a.out */
#include <stdio.h>
#include <syncline.h>
#include <syncline_bytes.h>

int main(void)
{
    syn_doc_config ann_is = SYN_DOC_CONFIG_INIT, bob_is = SYN_DOC_CONFIG_INIT;
    ann_is.peer = 0x9c0ffee1; /* random in real life, new for every session */
    bob_is.peer = 0x9c0ffee2;
    syn_doc *ann, *bob;
    syn_obj ann_text, bob_text;
    syn_buf from_ann = {0}, from_bob = {0};
    char text[64];
    if (syn_doc_new(&ann, &ann_is) || syn_doc_new(&bob, &bob_is)) return 1;
    syn_root(ann, syn_s("note"), SYN_TEXT, &ann_text);
    syn_root(bob, syn_s("note"), SYN_TEXT, &bob_text);

    syn_text_insert(ann, ann_text, 0, syn_s("Hello, world"));
    syn_export_since(ann, NULL, 0, &from_ann); /* everything, as bytes */
    syn_import(bob, from_ann.data, from_ann.len);
    from_ann.len = 0;

    syn_text_insert(ann, ann_text, 12, syn_s("!"));      /* at the same time ... */
    syn_text_insert(bob, bob_text, 7, syn_s("merged ")); /* ... elsewhere */
    syn_export_since(ann, NULL, 0, &from_ann);
    syn_export_since(bob, NULL, 0, &from_bob);
    syn_import(bob, from_ann.data, from_ann.len); /* known events are ignored */
    syn_import(ann, from_bob.data, from_bob.len);

    printf("%.*s\n", (int)syn_text_read(ann, ann_text, 0, 64, text, sizeof text), text);
    printf("%.*s\n", (int)syn_text_read(bob, bob_text, 0, 64, text, sizeof text), text);
    syn_buf_free(&from_ann);
    syn_buf_free(&from_bob);
    syn_doc_free(ann);
    syn_doc_free(bob);
    return 0;
}
