/*
 * peers_file - peers from a file, read again whenever it changes.
 *
 *	# comment
 *	node1=10.0.0.1:4244
 *	prod/node2=node2.example:4244,node2.prod.hubble-grpc.cilium.io
 *
 * A file that cannot be read, or of which one line is wrong, changes nothing.
 *
 * Threads  main's.
 */
#ifndef TYCHO_RELAY_PEERS_FILE_H
#define TYCHO_RELAY_PEERS_FILE_H

#include <stdbool.h>

#include "base/err.h"

struct peers;
struct peers_file;

/* Reads it into @peers, which is borrowed. Fails as open does; with ERR_PARSE (names the line), or
 * as peers_set. */
MUST_CHECK enum err_code peers_file_new(const char *path, struct peers *peers,
					struct peers_file **ret, struct err *e);
void peers_file_free(struct peers_file *f); /* NULL is a no-op */
AUTO_DEFINE(struct peers_file, peers_file_free);

/* Readable when peers_file_poll has something to do. */
int peers_file_fd(const struct peers_file *f);
/* Reads it again if it has changed, or @always. ERR_AGAIN: it has not. */
MUST_CHECK enum err_code peers_file_poll(struct peers_file *f, bool always, struct err *e);

#endif
