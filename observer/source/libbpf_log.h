/*
 * libbpf_log - libbpf's chatter kept for the error it explains, instead of on stderr.
 *
 * Threads  each thread has its own last words (libbpf's print hook takes no context, so they cannot
 * live elsewhere).
 */
#ifndef TYCHO_OBSERVER_SOURCE_LIBBPF_LOG_H
#define TYCHO_OBSERVER_SOURCE_LIBBPF_LOG_H

/* From now on libbpf prints nothing, in the whole process; forgets what this thread has kept. */
void libbpf_log_keep(void);
/* The last lines that say why, verifier's included, as one line: "a; b; c". "" when there are none.
 * Borrowed until libbpf is called again. */
const char *libbpf_log_words(void);

#endif
