#include "record/scan.h"

size_t scan_value(const struct scan *s)
{
	size_t depth = 0;
	bool in_string = false;

	for (const char *p = s->p; p < s->end; p++) {
		if (in_string) {
			if (*p == '\\')
				p++;
			else
				in_string = *p != '"';
			if (!in_string && !depth)
				return (size_t)(p + 1 - s->p);
			continue;
		}
		switch (*p) {
		case '"':
			in_string = true;
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (!depth)
				return (size_t)(p - s->p);
			if (--depth == 0)
				return (size_t)(p + 1 - s->p);
			break;
		case ',':
			if (!depth)
				return (size_t)(p - s->p);
			break;
		default:
			break;
		}
	}
	return 0;
}
