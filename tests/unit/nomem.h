/*
 * Memory that runs out on purpose: the linker sends a test's calls of malloc and its kin here, and
 * those of the libraries it links (tycho_nomem_test in cmake/TychoProject.cmake). For one thread.
 */
#ifndef TYCHO_UNIT_NOMEM_H
#define TYCHO_UNIT_NOMEM_H

#include <stdbool.h>

/** After @n more allocations one fails, once; those before and after it succeed. */
void nomem_after(long n);

/** From here on all succeed. @return true if one has failed since nomem_after(). */
bool nomem_end(void);

#endif
