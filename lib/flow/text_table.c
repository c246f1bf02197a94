#include "flow/text_table.h"

enum { MIN_WIDTH = 2, PADDING = 3 }; /* what the reference gives to tabwriter */

struct cell {
	size_t bytes, width; /* width in characters */
};

struct line {
	size_t first, count; /* its cells; the last one takes part in no column */
};

struct layout {
	struct buf *out;
	struct buf cells, lines; /* arrays of the above */
	const char *text; /* what is not yet written, cell after cell, separators in between */
	size_t *widths;   /* of the columns left of the one being looked at */
	size_t width_count;
};

static const struct line *line_at(const struct layout *l, size_t i)
{
	return (const struct line *)(const void *)l->lines.p + i;
}

static const struct cell *cell_at(const struct layout *l, size_t i)
{
	return (const struct cell *)(const void *)l->cells.p + i;
}

static void put_blanks(struct buf *b, size_t n)
{
	char *to = buf_reserve(b, n);

	if (to && n) {
		memset(to, ' ', n);
		b->len += n;
	}
}

static void write_lines(struct layout *l, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct line *line = line_at(l, i);
		for (size_t k = 0; k < line->count; k++) {
			const struct cell *c = cell_at(l, line->first + k);
			buf_put(l->out, l->text, c->bytes);
			l->text += c->bytes + 1; /* and the tab or line feed behind it */
			if (k < l->width_count)
				put_blanks(l->out, l->widths[k] - c->width);
		}
		buf_char(l->out, '\n');
	}
}

/*
 * Lays out lines [from, to), whose columns before number @l->width_count are settled. A column is a
 * run of lines that all have a cell there, so each run has its own widths. Recursion goes one
 * column deeper each time.
 */
static void format(struct layout *l, size_t from, size_t to)
{
	size_t column = l->width_count, at = from;

	while (at < to) {
		if (column + 1 >= line_at(l, at)->count) {
			at++;
			continue;
		}
		write_lines(l, from, at);
		from = at;
		size_t width = MIN_WIDTH;
		for (; at < to && column + 1 < line_at(l, at)->count; at++) {
			size_t w = cell_at(l, line_at(l, at)->first + column)->width + PADDING;
			width = w > width ? w : width;
		}
		l->widths[l->width_count++] = width;
		format(l, from, at);
		l->width_count--;
		from = at;
	}
	write_lines(l, from, to);
}

/* Cuts @text into cells and lines; *@ret_columns is the most cells a line has. */
static void cut(struct layout *l, struct str text, size_t *ret_columns)
{
	struct line line = { 0, 0 };
	struct cell cell = { 0, 0 };

	*ret_columns = 0;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c != '\t' && c != '\v' && c != '\n') {
			cell.bytes++;
			cell.width += (c & 0xc0) != 0x80;
			continue;
		}
		buf_put(&l->cells, &cell, sizeof cell);
		cell = (struct cell){ 0, 0 };
		line.count++;
		if (c == '\n') {
			buf_put(&l->lines, &line, sizeof line);
			*ret_columns = line.count > *ret_columns ? line.count : *ret_columns;
			line = (struct line){ line.first + line.count, 0 };
		}
	}
}

/* One table; a text may hold several. */
static bool put_part(struct buf *out, struct str text)
{
	AUTO_BUF struct buf cells = buf_init(SIZE_MAX);
	AUTO_BUF struct buf lines = buf_init(SIZE_MAX);
	struct layout l = { .out = out, .cells = cells, .lines = lines, .text = text.p };
	size_t columns;

	cut(&l, text, &columns);
	AUTO(own_free) size_t *widths = calloc(columns + 1, sizeof *widths);
	cells = l.cells; /* theirs to free */
	lines = l.lines;
	l.widths = widths;
	if (!widths || cells.failed || lines.failed)
		return false;
	format(&l, 0, lines.len / sizeof(struct line));
	return !out->failed;
}

bool text_table_put(struct buf *out, struct str text)
{
	struct str part;

	/* a form feed ends a line and the table: what follows is laid out anew */
	while (str_split(&text, '\f', &part)) {
		AUTO_BUF struct buf line = buf_init(SIZE_MAX);
		if (text.p) {
			buf_str_put(&line, part);
			buf_char(&line, '\n');
			part = buf_str(&line);
		}
		if (line.failed || !put_part(out, part))
			return false;
	}
	return true;
}
