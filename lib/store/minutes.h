/*
 * minutes - a range of minutes that a virtual table is asked for: bounds of its first column, from
 * xBestIndex, which sees what is asked, to xFilter, which gets the values.
 */
#ifndef TYCHO_STORE_MINUTES_H
#define TYCHO_STORE_MINUTES_H

#include <sqlite3.h>
#include <stdbool.h>

/* In xBestIndex, with the cost of all rows set: takes up to two bounds that @may_take (NULL: any)
 * agrees to, and the rows' own order. They come as arguments; SQLite looks at them again itself. */
void minutes_plan(sqlite3_index_info *info, bool (*may_take)(sqlite3_index_info *info, int i));
/* In xFilter, whose number is @plan: is argument @i the end of the range, rather than its begin? */
bool minutes_is_end(int plan, int i);

#endif
