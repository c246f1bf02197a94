/*
 * scope - how many network namespaces the drop program can be told to stay in.
 */
#ifndef TYCHO_BPF_SCOPE_H
#define TYCHO_BPF_SCOPE_H

enum { SCOPE_MAX = 4096 };

#endif
