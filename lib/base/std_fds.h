/*
 * std_fds - the three descriptors that every program takes for granted.
 *
 * Who starts us with one of them closed (`tycho status >&-`) would have the next file or connection
 * that we open take its number, and what we print go there: into a stream to a server, say.
 */
#ifndef TYCHO_BASE_STD_FDS_H
#define TYCHO_BASE_STD_FDS_H

/* First thing in main: what is closed is opened so that reading finds the end, writing to stdout
 * fails as before (EBADF), and what goes to stderr goes nowhere. */
void std_fds_hold(void);
/* Last of a program that answers on stdout by stdio: what it printed is written. @return the exit
 * status: 0, or 1 after a sentence on stderr where it could not be (a full disk). */
int std_fds_end(const char *program);

#endif
