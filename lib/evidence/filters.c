#include "evidence/filters.h"

#include "evidence/redact.h"
#include "evidence/text.h"
#include "flow/json.h"

enum err_code put_member_filters(struct buf *b, const char *name, Flow__FlowFilter *const *list,
				 size_t n, struct err *e)
{
	put_member_name(b, name);
	buf_char(b, '[');
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF struct buf wire = buf_init(b->max);
		size_t len = flow__flow_filter__get_packed_size(list[i]);
		uint8_t *to = (uint8_t *)buf_reserve(&wire, len + 1);
		if (!to)
			return err_set(e, ERR_NOMEM, "filters");
		wire.len += flow__flow_filter__pack(list[i], to);
		if (i)
			buf_char(b, ',');
		if (json_put_message(b, &flow__flow_filter__descriptor, buf_str(&wire), e) !=
		    ERR_OK)
			return ERR_PARSE;
	}
	buf_char(b, ']');
	return ERR_OK;
}

/* "reserved:world" names a kind, and stays in records, too. */
static bool name_labels(char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!str_has_prefix(str_of(list[i]), STR("reserved:")))
			return true;
	return false;
}

unsigned filters_naming(Flow__FlowFilter *const *list, size_t n, unsigned classes)
{
	unsigned named = 0;

	for (size_t i = 0; i < n; i++) {
		const Flow__FlowFilter *f = list[i];
		if (f->n_source_ip || f->n_destination_ip || f->n_source_ip_xlated)
			named |= REDACT_IP;
		if (name_labels(f->source_label, f->n_source_label) ||
		    name_labels(f->destination_label, f->n_destination_label))
			named |= REDACT_LABELS;
		if (f->n_source_fqdn || f->n_destination_fqdn || f->n_dns_query)
			named |= REDACT_DNS;
		if (f->experimental && f->experimental->n_cel_expression)
			named |= REDACT_ALL;
	}
	return named & classes;
}
