/*
 * page_damage - a store with something in every table, pages of it that are damaged, and what it answers then.
 */
#ifndef TYCHO_TESTS_PAGE_DAMAGE_H
#define TYCHO_TESTS_PAGE_DAMAGE_H

#include "store_fixture.h"

/* LARGE records in a block that is on shelves, then BLOCKS of RECORDS, of which OTHERS have a name of their own. */
enum { PAGE = 4096, LARGE = 17000, BLOCKS = 120, OTHERS = 2, RECORDS = 10 };
/* what a page is filled with: this stands for none, it cannot be read */
enum { UNREADABLE = -1 };

/* The store is open while it is filled. */
void fill(struct fixture *fx);
/* The file as it is now is what restore() goes back to. */
void save(struct fixture *fx);
/* The file as it was saved, but for a page, unless that is 0; another process's dictionary. */
void restore(struct fixture *fx, uint64_t page, int rubbish);
void damage(struct fixture *fx, uint64_t page, int rubbish);
bool is_set_aside(struct fixture *fx);
/* Blocks, as they come: some may be lost. */
void go_on(struct fixture *fx, int blocks);

struct answers {
	uint64_t records, backward, flows, known_flows, policies, checkpoints, entries;
	uint64_t kernel_gaps, damage_gaps;
	enum err_code code; /* the first one that is none of ERR_OK */
};
/* All that a store may be asked. */
struct answers ask(struct fixture *fx);
void keep(struct answers *a, enum err_code code);

struct page {
	uint64_t number;
	char table[40];
	bool is_leaf, is_last; /* of the table's leaves */
	uint64_t rows;         /* that lie on it */
};
/* Of the file at @path. @return how many; there must be @max at most. */
size_t list_pages(const char *path, struct page *list, size_t max);

/* cmocka's setup: fixture_make(), with a disk that can be read again. */
int make(void **state);

#endif
