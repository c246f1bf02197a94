/*
 * config_file - the settings a person keeps: a YAML mapping of names to words or lists of words.
 *
 * Names are compared without regard to case and kept in lower case, as viper (the reference's
 * reader) does. A file that is missing or is no YAML mapping is an empty one to those who read
 * settings, and an error to those who rewrite it: nobody's file is overwritten because of a typing
 * error in it. Nested mappings are not settings, and null is none; they are skipped.
 */
#ifndef TYCHO_CLI_CONFIG_FILE_H
#define TYCHO_CLI_CONFIG_FILE_H

#include "base/err.h"
#include "base/str.h"

struct buf;

struct config_value {
	char *key;
	bool is_list;
	bool quoted;  /* the word or the items are strings, whatever they look like */
	char **items; /* is_list: the items; otherwise items[0] is the word */
	size_t count;
};

struct config_file {
	struct config_value *values; /* sorted by key */
	size_t count;
};

/* ERR_NOT_FOUND: no such file. ERR_PARSE: no YAML mapping. Others as open(2) and read(2) have it.
 */
MUST_CHECK enum err_code config_file_load(const char *path, struct config_file *ret, struct err *e);
/* The same from text, for tests and for the load. */
MUST_CHECK enum err_code config_file_parse(struct str text, struct config_file *ret, struct err *e);
void config_file_done(struct config_file *f);

/* NULL when it is not there. */
const struct config_value *config_file_find(const struct config_file *f, const char *key);
/* Sets a word, or with @is_list a list; replaces what was there. @is_string: not to be mistaken for
 * a number or a truth value, when it is written. */
MUST_CHECK enum err_code config_file_set(struct config_file *f, const char *key,
					 const char *const *items, size_t count, bool is_list,
					 bool is_string, struct err *e);
/* Appends "key: value\n", lists over several lines. */
void config_value_put(struct buf *b, const struct config_value *v);
/* Writes all of it, to a new file that then takes the place of @path; its directory is made if need
 * be. */
MUST_CHECK enum err_code config_file_save(const struct config_file *f, const char *path,
					  struct err *e);

#define AUTO_CONFIG_FILE __attribute__((cleanup(config_file_done)))

#endif
