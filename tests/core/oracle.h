/* oracle.h -- the slow, obvious replica that says what a document must be.
 *
 * It is written from the words of the protocol (PROTOCOL.md: order of sequences, registers,
 * containers) and shares no code with core.  It keeps the set of all events; each has the explicit
 * set of its ancestors, one bit per event.  A version is such a set too.  What a version shows is
 * computed anew each time it is asked for, by looking at all events. */
#ifndef SYN_TESTS_ORACLE_H
#define SYN_TESTS_ORACLE_H

#include "change.h"

struct oracle;

/* A set of events, one bit each; oracle_words() words. */
typedef uint64_t *oracle_version;

struct oracle_container { /* identity: by name, by event, or parent and key */
    enum container_form form;
    uint32_t kind;
    char *name; /* root: name; mergeable: key */
    syn_id id;  /* by event */
    int parent; /* mergeable */
};

struct oracle_write { /* one write of a key that no other write of it supersedes */
    syn_id writer;
    bool gone;
    char *json; /* shallow: children as "child" */
};

struct oracle *oracle_new(uint32_t max_events);
void oracle_free(struct oracle *o);
/* Adds the events of a set that are not here yet, whose parents must be. */
void oracle_add(struct oracle *o, const syn_changes *set);

uint32_t oracle_events(const struct oracle *o);
syn_id oracle_id(const struct oracle *o, uint32_t event);
uint32_t oracle_lamport(const struct oracle *o, uint32_t event);
/* Is the event among the ancestors of another? */
bool oracle_before(const struct oracle *o, uint32_t event, uint32_t other);

oracle_version oracle_version_new(const struct oracle *o); /* empty; free() */
/* The heads and all their ancestors; false when one is not known. */
bool oracle_version_of(const struct oracle *o, const syn_id *heads, size_t count, oracle_version v);
bool oracle_has(const struct oracle *o, oracle_version v, uint32_t event);
/* Takes out the event and all that stand on it. */
void oracle_without(const struct oracle *o, oracle_version v, uint32_t event);

uint32_t oracle_containers(const struct oracle *o);
const struct oracle_container *oracle_container(const struct oracle *o, uint32_t container);
/* Has it had an event in that version? */
bool oracle_touched(const struct oracle *o, oracle_version v, uint32_t container);
/* Elements of a text or list: the event that inserted the one at a position of that version (-1:
 * beyond the end), and how many stand before it in another, where it may have gone. */
int oracle_element(const struct oracle *o, oracle_version v, uint32_t container, uint32_t pos);
uint32_t oracle_place(const struct oracle *o, oracle_version v, uint32_t container, int element,
                      bool *gone);
/* All elements ever, as they stand; does one show, and how many deletes have taken it. */
const int *oracle_order(const struct oracle *o, uint32_t container, uint32_t *count);
bool oracle_shows(const struct oracle *o, oracle_version v, uint32_t container, int element);
uint32_t oracle_deletes(const struct oracle *o, oracle_version v, uint32_t container, int element);
/* What an event deleted or set, or -1; and the scalar that it inserted, or NULL. */
int oracle_target(const struct oracle *o, uint32_t event);
const char *oracle_scalar(const struct oracle *o, uint32_t event);
/* The state as JSON: of one container, or (container -1) of the whole document.  free() */
char *oracle_json(const struct oracle *o, oracle_version v, int container);
/* Keys ever written in a map; free() the array only. */
char **oracle_keys(const struct oracle *o, uint32_t container, uint32_t *count);
/* The writes of a key, the winner first; free each json and the array. */
struct oracle_write *oracle_writes(const struct oracle *o, oracle_version v, uint32_t container,
                                   const char *key, uint32_t *count);

#endif
