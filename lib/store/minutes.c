#include "store/minutes.h"

/* What idxNum says of the arguments. */
enum { HAS_BEGIN = 1, HAS_END = 2, END_COMES_FIRST = 4 };

void minutes_plan(sqlite3_index_info *info, bool (*may_take)(sqlite3_index_info *info, int i))
{
	int args = 0;

	for (int i = 0; i < info->nConstraint; i++) {
		int op = info->aConstraint[i].op;
		bool begins = op == SQLITE_INDEX_CONSTRAINT_GT ||
			      op == SQLITE_INDEX_CONSTRAINT_GE || op == SQLITE_INDEX_CONSTRAINT_EQ;
		bool ends = op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE;

		if (!info->aConstraint[i].usable || info->aConstraint[i].iColumn != 0 ||
		    !(begins || ends) || info->idxNum & (begins ? HAS_BEGIN : HAS_END) ||
		    (may_take && !may_take(info, i)))
			continue;
		info->idxNum |= begins ? HAS_BEGIN : HAS_END;
		info->aConstraintUsage[i].argvIndex = ++args;
		if (ends && args == 1)
			info->idxNum |= END_COMES_FIRST;
		info->estimatedCost /= 4;
	}
	if (info->nOrderBy == 1 && info->aOrderBy[0].iColumn == 0 && !info->aOrderBy[0].desc)
		info->orderByConsumed = 1;
}

bool minutes_is_end(int plan, int i)
{
	return plan & HAS_END && (i == 0) == !!(plan & END_COMES_FIRST);
}
