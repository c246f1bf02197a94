/*
 * reader - a connection that reads: what reader.c and scan.c share.
 */
#ifndef TYCHO_STORE_READER_H
#define TYCHO_STORE_READER_H

#include "store/inside.h"

struct store_reader {
	struct db db;        /* h NULL: there is no file yet */
	struct store *store; /* NULL: a file without a writer of ours */
	uint64_t generation; /* of the store's file that is open */
	struct flow_dict *dict;
	struct dict_back *back;
	struct gaps found; /* damage, where no store takes it */
	char path[STORE_PATH_BYTES + 16];
};

/* Opens what is to be opened. *@ret_any false: there is nothing to be read yet. */
MUST_CHECK enum err_code reader_ready(struct store_reader *r, bool *ret_any, struct err *e);
/* How a question ended: db_ended. Damage that is met in a table is mended soon, if there is a writer. */
MUST_CHECK enum err_code reader_ended(struct store_reader *r, const char *doing, struct err *e);
/* The same of @code. */
enum err_code reader_told(struct store_reader *r, enum err_code code);

#endif
