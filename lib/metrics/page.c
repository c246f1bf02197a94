#include "metrics/page.h"

#include <math.h>
#include <stdio.h>

enum { EXACT_INTEGERS = 15 /* decimal digits a double holds exactly */ };

const double histogram_bounds[HISTOGRAM_BOUNDS] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
						    0.5,   1,    2.5,   5,    10 };

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

size_t histogram_bucket(double value)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && !(value <= histogram_bounds[i]))
		i++;
	return i;
}

static struct str family_name(const struct metrics_page *p, const char *name, enum metric_type type)
{
	struct str s = str_of(name), total = STR("_total");

	if (p->format == PAGE_OPENMETRICS && type == METRIC_COUNTER && str_has_suffix(s, total))
		s.len -= total.len;
	return s;
}

void page_family(struct metrics_page *p, const char *name, enum metric_type type, const char *help)
{
	struct str shown = family_name(p, name, type);

	buf_lit(p->out, "# HELP ");
	buf_str_put(p->out, shown);
	buf_char(p->out, ' ');
	buf_str_put(p->out, str_of(help));
	buf_lit(p->out, "\n# TYPE ");
	buf_str_put(p->out, shown);
	buf_char(p->out, ' ');
	buf_str_put(p->out, str_of(type_names[type]));
	buf_char(p->out, '\n');
	p->family = name;
}

void page_number_put(struct buf *b, enum page_format format, double v)
{
	char text[40];
	int n;

	if (isnan(v)) {
		buf_lit(b, "NaN");
		return;
	}
	if (isinf(v)) {
		buf_str_put(b, v > 0 ? STR("+Inf") : STR("-Inf"));
		return;
	}
	if (fabs(v) < 1e15 && v == floor(v)) {
		n = snprintf(text, sizeof text, "%.0f", v);
	} else {
		/* the shortest that reads back as the same number */
		int digits = EXACT_INTEGERS;
		do
			n = snprintf(text, sizeof text, "%.*g", digits, v);
		while (digits++ < 17 && strtod(text, NULL) != v);
	}
	buf_put(b, text, (size_t)n);
	if (format == PAGE_OPENMETRICS && !strpbrk(text, ".e"))
		buf_lit(b, ".0");
}

static void number_u64(struct buf *b, enum page_format format, uint64_t v)
{
	buf_u64(b, v);
	if (format == PAGE_OPENMETRICS)
		buf_lit(b, ".0");
}

struct page_value page_value_begin(struct buf *to)
{
	return (struct page_value){ .to = to, .from = to->len };
}

void page_value_put(struct page_value *v, struct str piece)
{
	size_t room = PAGE_VALUE_BYTES - (v->to->len - v->from);
	struct str rest = str_from(piece, room);

	buf_str_put(v->to, str_upto(piece, room));
	if (!rest.len)
		return;
	v->rest = hash_bytes(rest.p, rest.len, v->rest);
	v->is_long = true;
}

size_t page_value_end(struct page_value *v)
{
	enum { MARK = sizeof "…" - 1 + 16 };

	if (v->is_long && !v->to->failed) {
		struct str head = str_n(v->to->p + v->from, PAGE_VALUE_BYTES);
		uint64_t whole = hash_bytes(head.p, head.len, v->rest);
		v->to->len = v->from + utf8_upto(head, PAGE_VALUE_BYTES - MARK).len;
		buf_printf(v->to, "…%016llx", (unsigned long long)whole);
	}
	return v->to->len - v->from;
}

void page_label_put(struct buf *b, const char *name, struct str value)
{
	enum { REPLACED = 3 }; /* what a byte that is no UTF-8 becomes */
	char bytes[PAGE_VALUE_BYTES], clean[PAGE_VALUE_BYTES * REPLACED];

	if (value.len > PAGE_VALUE_BYTES) {
		struct buf cut = buf_fixed(bytes, sizeof bytes);
		struct page_value v = page_value_begin(&cut);
		page_value_put(&v, value);
		value = str_n(bytes, page_value_end(&v));
	}
	if (!utf8_is_valid(value))
		value = str_n(clean, utf8_sanitize(value, clean, sizeof clean));
	buf_str_put(b, str_of(name));
	buf_lit(b, "=\"");
	for (size_t from = 0, at = 0;; at++) {
		if (at < value.len && value.p[at] != '\\' && value.p[at] != '"' &&
		    value.p[at] != '\n' && value.p[at])
			continue;
		buf_put(b, value.p + from, at - from);
		if (at == value.len)
			break;
		if (!value.p[at]) { /* to Prometheus the end of the page */
			buf_lit(b, "\xef\xbf\xbd");
		} else {
			buf_char(b, '\\');
			buf_char(b, value.p[at] == '\n' ? 'n' : value.p[at]);
		}
		from = at + 1;
	}
	buf_char(b, '"');
}

static void labels_put(struct buf *b, const struct page_label *labels, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_char(b, ',');
		page_label_put(b, labels[i].name, labels[i].value);
	}
}

static void begin_line(struct metrics_page *p, const char *suffix, struct str labels,
		       struct str extra)
{
	buf_str_put(p->out, str_of(p->family));
	buf_str_put(p->out, str_of(suffix));
	if (labels.len || extra.len) {
		buf_char(p->out, '{');
		buf_str_put(p->out, labels);
		if (labels.len && extra.len)
			buf_char(p->out, ',');
		buf_str_put(p->out, extra);
		buf_char(p->out, '}');
	}
	buf_char(p->out, ' ');
}

static void end_line(struct metrics_page *p, const struct page_exemplar *x)
{
	if (x && x->trace.len && p->format == PAGE_OPENMETRICS) {
		buf_lit(p->out, " # {");
		page_label_put(p->out, "traceID", x->trace);
		buf_lit(p->out, "} ");
		page_number_put(p->out, p->format, x->value);
		buf_printf(p->out, " %llu.%09llu", (unsigned long long)(x->when.v / NS_PER_S),
			   (unsigned long long)(x->when.v % NS_PER_S));
	}
	buf_char(p->out, '\n');
}

void page_line(struct metrics_page *p, const char *suffix, struct str labels, struct str extra,
	       uint64_t v, const struct page_exemplar *exemplar)
{
	begin_line(p, suffix, labels, extra);
	number_u64(p->out, p->format, v);
	end_line(p, exemplar);
}

void page_u64(struct metrics_page *p, const struct page_label *labels, size_t n, uint64_t v)
{
	AUTO_BUF struct buf text = buf_init(64 << 10);

	labels_put(&text, labels, n);
	page_line(p, "", buf_str(&text), STR(""), v, NULL);
}

void page_double(struct metrics_page *p, const struct page_label *labels, size_t n, double v)
{
	AUTO_BUF struct buf text = buf_init(64 << 10);

	labels_put(&text, labels, n);
	begin_line(p, "", buf_str(&text), STR(""));
	page_number_put(p->out, p->format, v);
	end_line(p, NULL);
}

void page_counter(struct metrics_page *p, const char *name, const char *help, uint64_t v)
{
	page_family(p, name, METRIC_COUNTER, help);
	page_u64(p, NULL, 0, v);
}

void page_gauge(struct metrics_page *p, const char *name, const char *help, double v)
{
	page_family(p, name, METRIC_GAUGE, help);
	page_double(p, NULL, 0, v);
}

void page_histogram_lines(struct metrics_page *p, struct str labels, const struct histogram *h,
			  const struct page_exemplar *exemplars)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		char text[48];
		struct buf le = buf_fixed(text, sizeof text);
		buf_lit(&le, "le=\"");
		page_number_put(&le, p->format,
				i < HISTOGRAM_BOUNDS ? histogram_bounds[i] : INFINITY);
		buf_char(&le, '"');
		sum += h->buckets[i];
		begin_line(p, "_bucket", labels, buf_str(&le));
		buf_u64(p->out, sum); /* counts of observations are integers in both formats */
		end_line(p, exemplars ? &exemplars[i] : NULL);
	}
	begin_line(p, "_sum", labels, STR(""));
	page_number_put(p->out, p->format, h->sum);
	end_line(p, NULL);
	begin_line(p, "_count", labels, STR(""));
	buf_u64(p->out, sum);
	end_line(p, NULL);
}

void page_histogram(struct metrics_page *p, const struct page_label *labels, size_t n,
		    const struct histogram *h)
{
	AUTO_BUF struct buf text = buf_init(64 << 10);

	labels_put(&text, labels, n);
	page_histogram_lines(p, buf_str(&text), h, NULL);
}

void page_end(struct metrics_page *p)
{
	if (p->format == PAGE_OPENMETRICS)
		buf_lit(p->out, "# EOF\n");
}
