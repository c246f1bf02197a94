/*
 * drop_events_answer < questions > answers
 *
 * Which drops are told as events of Kubernetes, to whom and how: our side of the oracle. Questions and answers have the form
 * that main.go beside it gives. Every pod that a flow names is this node's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/drop_events/message.h"
#include "observer/drop_events/whose.h"

enum { BYTES = 16 << 20, DICT_ENTRIES = 100000 };

static void must(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "drop_events_answer: %s\n", e->msg);
	exit(2);
}

static void make_local(struct local_pods *pods, const struct flow_dict *dict, struct endpoint_id id)
{
	const struct endpoint *ep = flow_dict_get_endpoint(dict, id);

	if (ep && ep->pod.len)
		local_pods_put(pods, ep->namespace_, ep->pod, STR("uid"));
}

static void put(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == '\n' || s.p[i] == '\\')
			(void)fputs(s.p[i] == '\n' ? "\\n" : "\\\\", stdout);
		else
			(void)putchar(s.p[i]);
}

static void answer_flow(const struct drop_wanted *w, const struct flow *f, struct flow_dict *dict,
			struct local_pods *pods)
{
	char text[DROP_MESSAGE_BYTES];
	struct buf message = buf_fixed(text, sizeof text);
	struct drop_side side;

	make_local(pods, dict, f->src_ep);
	make_local(pods, dict, f->dst_ep);
	if (!drop_is_wanted(w, f, true) || !drop_whose(f, dict, pods, &side)) {
		(void)fputs("-\n", stdout);
		return;
	}
	drop_message_put(&message, f, dict, side.incoming, w->extended);
	put(side.pod->namespace_);
	(void)putchar('/');
	put(side.pod->pod);
	(void)putchar('\t');
	put(buf_str(&message));
	(void)putchar('\n');
}

static void answer(struct str reasons, struct str extended, struct str json, struct flow_dict *dict,
		   struct local_pods *pods)
{
	AUTO_BUF struct buf wire = buf_init(BYTES);
	struct drop_wanted wanted = drop_wanted_default();
	struct flow f;
	struct err e;

	wanted.extended = str_is(extended, "true");
	if (drop_wanted_reasons(&wanted, reasons, &e) != ERR_OK)
		(void)printf("refused: %s\n", e.msg);
	else if (json_read_message(json, &flow__flow__descriptor, NULL, &wire, NULL, &e) !=
			 ERR_OK ||
		 flow_decode(buf_str(&wire), dict, &f, &e) != ERR_OK)
		(void)printf("unread: %s\n", e.msg);
	else
		answer_flow(&wanted, &f, dict, pods);
}

int main(void)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(local_pods_free) struct local_pods *pods = NULL;
	struct err e;
	char *line = NULL;
	size_t room = 0;

	must(flow_dict_new(DICT_ENTRIES, &dict, &e), &e);
	must(local_pods_new(&pods, &e), &e);
	for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
		struct str rest = str_n(line, (size_t)n - (line[n - 1] == '\n'));
		struct str reasons, extended;
		if (str_split(&rest, '\t', &reasons) && str_split(&rest, '\t', &extended))
			answer(reasons, extended, rest, dict, pods);
	}
	free(line);
	return 0;
}
