/*
 * lean - a process that stays in memory keeps there what it uses, and not what it used to start.
 *
 * Threads  the main thread; harmless while others run.
 */
#ifndef TYCHO_OBSERVER_LEAN_H
#define TYCHO_OBSERVER_LEAN_H

/* Before the first thread: how the C library keeps memory that was freed. */
void lean_start(void);
/* Gives back what was freed. After whatever took many times the memory that is left of it: parsing
 * 5,000 endpoints leaves 12 MB, the kernel's types as much. */
void lean_heap(void);
/* When all is running: lets go of the program's and the libraries' pages, as the system itself does
 * when memory is short. Those that are used come back from the page cache at once; tables of
 * symbols and relocations, and the code that ran once, do not: 7 of 15 MB. */
void lean_image(void);

#endif
