#include "cel/function.h"

#define ORDERED "bbb bii buu bdd bss byy btt bDD"

static const struct function functions[] = {
	{ "_&&_", "bbb", OP_AND },
	{ "_||_", "bbb", OP_OR },
	{ "!_", "bb", OP_NOT },
	{ "_?_:_", "AbAA", OP_CONDITIONAL },
	{ "_==_", "bAA", OP_EQUAL },
	{ "_!=_", "bAA", OP_NOT_EQUAL },
	{ "_<_", ORDERED, OP_LESS },
	{ "_<=_", ORDERED, OP_LESS_EQUAL },
	{ "_>_", ORDERED, OP_GREATER },
	{ "_>=_", ORDERED, OP_GREATER_EQUAL },
	{ "_+_", "yyy ddd DDD tDt ttD iii [A[A[A sss uuu", OP_ADD },
	{ "_-_", "ddd DDD iii ttD Dtt uuu", OP_SUBTRACT },
	{ "_*_", "ddd iii uuu", OP_MULTIPLY },
	{ "_/_", "ddd iii uuu", OP_DIVIDE },
	{ "_%_", "iii uuu", OP_MODULO },
	{ "-_", "dd ii", OP_NEGATE },
	{ "_[_]", "A[Ai B{ABA", OP_INDEX },
	{ "@in", "bA[A bA{AB", OP_IN },
	{ "size", "iy .iy i[A .i[A i{AB .i{AB is .is", OP_SIZE },
	{ "contains", ".bss", OP_CONTAINS },
	{ "startsWith", ".bss", OP_STARTS_WITH },
	{ "endsWith", ".bss", OP_ENDS_WITH },
	{ "matches", "bss .bss", OP_MATCHES },
	{ "type", "TAA", OP_TYPE },
	{ "dyn", "*A", OP_DYN },
	{ "bool", "bb bs", OP_TO_BOOL },
	{ "bytes", "yy ys", OP_TO_BYTES },
	{ "double", "dd di ds du", OP_TO_DOUBLE },
	{ "duration", "DD Di Ds", OP_TO_DURATION },
	{ "int", "ii id iD is it iu", OP_TO_INT },
	{ "string", "ss sb sy sd sD si st su", OP_TO_STRING },
	{ "timestamp", "tt ti ts", OP_TO_TIMESTAMP },
	{ "uint", "uu ud ui us", OP_TO_UINT },
	{ "getFullYear", ".it .its", OP_FULL_YEAR },
	{ "getMonth", ".it .its", OP_MONTH },
	{ "getDayOfYear", ".it .its", OP_DAY_OF_YEAR },
	{ "getDayOfMonth", ".it .its", OP_DAY_OF_MONTH },
	{ "getDate", ".it .its", OP_DATE },
	{ "getDayOfWeek", ".it .its", OP_DAY_OF_WEEK },
	{ "getHours", ".it .its .iD", OP_HOURS },
	{ "getMinutes", ".it .its .iD", OP_MINUTES },
	{ "getSeconds", ".it .its .iD", OP_SECONDS },
	{ "getMilliseconds", ".it .its .iD", OP_MILLISECONDS },
};

const struct function *function_find(struct str name)
{
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
		if (str_is(name, functions[i].name))
			return &functions[i];
	return NULL;
}

/* One type of an overload; @same holds what A and B stand for. */
static const struct type *read_type(struct typing *t, const char **rest, const struct type *same[2])
{
	char c = *(*rest)++;
	const struct type *key;

	switch (c) {
	case 'b':
		return &type_bool;
	case 'i':
		return &type_int;
	case 'u':
		return &type_uint;
	case 'd':
		return &type_double;
	case 's':
		return &type_string;
	case 'y':
		return &type_bytes;
	case 't':
		return &type_timestamp;
	case 'D':
		return &type_duration;
	case '[':
		return type_list(t, read_type(t, rest, same));
	case '{':
		key = read_type(t, rest, same);
		return type_map(t, key, read_type(t, rest, same));
	case 'T':
		return type_type(t, read_type(t, rest, same));
	case 'A':
	case 'B':
		if (!same[c - 'A'])
			same[c - 'A'] = type_unknown(t);
		return same[c - 'A'];
	default:
		return &type_dyn;
	}
}

bool overload_next(struct typing *t, const char **rest, struct overload *ret)
{
	const struct type *same[2] = { NULL, NULL };

	while (**rest == ' ')
		++*rest;
	if (!**rest)
		return false;
	*ret = (struct overload){ .is_member = **rest == '.' };
	*rest += ret->is_member;
	ret->result = read_type(t, rest, same);
	while (**rest && **rest != ' ')
		ret->params[ret->count++] = read_type(t, rest, same);
	return true;
}
