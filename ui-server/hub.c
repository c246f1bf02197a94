#include "ui-server/hub.h"

struct seat {
	struct ui_view *view; /* NULL: free */
	size_t watchers;      /* 0: it is ending */
};

struct ui_hub {
	struct ui_view_config config;
	struct seat seats[UI_WIRE_VIEWS];
};

enum err_code ui_hub_new(const struct ui_view_config *config, struct ui_hub **ret, struct err *e)
{
	struct ui_hub *h = calloc(1, sizeof *h);

	if (!h)
		return err_set(e, ERR_NOMEM, "views");
	h->config = *config;
	*ret = h;
	return ERR_OK;
}

void ui_hub_free(struct ui_hub *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < UI_WIRE_VIEWS; i++)
		if (h->seats[i].view)
			ui_view_stop(h->seats[i].view); /* all at once, then wait */
	for (size_t i = 0; i < UI_WIRE_VIEWS; i++)
		ui_view_free(h->seats[i].view);
	free(h);
}

enum err_code ui_hub_join(struct ui_hub *h, struct str filters, struct ui_view **ret, struct err *e)
{
	struct seat *empty = NULL;

	for (size_t i = 0; i < UI_WIRE_VIEWS; i++) {
		struct seat *s = &h->seats[i];
		if (!s->view) {
			empty = empty ? empty : s;
		} else if (s->watchers && str_eq(ui_view_filters(s->view), filters)) {
			s->watchers++;
			*ret = s->view;
			return ERR_OK;
		}
	}
	if (!empty)
		return err_set(e, ERR_NOMEM,
			       "%d different filters are being watched already; close a window",
			       UI_WIRE_VIEWS);
	struct ui_view_config config = h->config;
	config.filters = filters;
	enum err_code code = ui_view_new(&config, &empty->view, e);
	if (code != ERR_OK)
		return code;
	empty->watchers = 1;
	*ret = empty->view;
	return ERR_OK;
}

void ui_hub_leave(struct ui_hub *h, struct ui_view *v)
{
	for (size_t i = 0; v && i < UI_WIRE_VIEWS; i++)
		if (h->seats[i].view == v && --h->seats[i].watchers == 0)
			ui_view_stop(v);
}

void ui_hub_reap(struct ui_hub *h)
{
	for (size_t i = 0; i < UI_WIRE_VIEWS; i++) {
		struct seat *s = &h->seats[i];
		if (s->view && !s->watchers && ui_view_has_ended(s->view))
			ui_view_free(TAKE(s->view));
	}
}
