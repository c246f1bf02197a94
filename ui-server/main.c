/*
 * tycho-ui: serves the page, and asks an observer or relay on behalf of who looks at it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/notify.h"
#include "base/signals.h"
#include "base/std_fds.h"
#include "config.h"
#include "rpc/client.h"
#include "ui-server/hub.h"
#include "ui-server/login.h"
#include "ui-server/options.h"
#include "ui-server/site.h"
#include "ui-server/status.h"

struct ui {
	struct ui_options o;
	int signals;
	bool rpc_up;
	struct rpc_channel *channel;
	struct ui_login *login; /* NULL: nobody is asked */
	struct ui_site *site;
	struct ui_hub *hub;
	struct ui_status *status;
};

/* Threads first, for they wake the site; then the site, whose pages leave the hub's views; the hub
 * itself goes between the two, when nobody watches any more. */
static void ui_done(struct ui *ui)
{
	ui_status_free(ui->status);
	ui_hub_free(ui->hub);
	ui_site_free(ui->site);
	ui_login_free(ui->login);
	rpc_channel_free(ui->channel);
	if (ui->rpc_up)
		rpc_shutdown();
}
static void ui_done_guard_(struct ui *ui)
{
	ui_done(ui);
}

/* Before any thread starts. */
static enum err_code take_signals(struct ui *ui, struct err *e)
{
	return signals_take(&ui->signals, e);
}

static enum err_code open_channel(struct ui *ui, struct err *e)
{
	const struct rpc_channel_config config = {
		.address = ui->o.server,
		.tls = ui->o.tls || str_has_prefix(str_of(ui->o.server), STR("tls://"))
			       ? &ui->o.tls_files
			       : NULL,
		.user_agent = "tycho-ui/" TYCHO_VERSION,
	};

	rpc_init();
	ui->rpc_up = true;
	return rpc_channel_new(&config, &ui->channel, e);
}

static enum err_code open_login(struct ui *ui, struct err *e)
{
	return ui->o.login_file ? ui_login_new(ui->o.login_file, &ui->login, e) : ERR_OK;
}

static enum err_code open_site(struct ui *ui, struct err *e)
{
	const struct ui_site_config config = {
		.host = ui->o.listen_host,
		.port = ui->o.listen_port,
		.names = { ui->o.allow_hosts, ui->o.allow_host_count },
		.cert_file = ui->o.server_cert_file,
		.key_file = ui->o.server_key_file,
		.login = ui->login,
		.signals = ui->signals,
	};

	if (!ui->o.listen_is_loopback && !ui->login)
		log_warn("everybody who can reach this address sees all flows", "host=%s",
			 LOG_QUOTE(ui->o.listen_host));
	if (!ui->o.listen_is_loopback && !ui->o.server_cert_file)
		log_warn("listening in plain text on an address that others can reach", "host=%s",
			 LOG_QUOTE(ui->o.listen_host));
	return ui_site_new(&config, &ui->site, e);
}

static enum err_code open_views(struct ui *ui, struct err *e)
{
	struct ui_view_config view = {
		.channel = ui->channel,
		.history = ui->o.history,
		.notify = ui_site_wake,
		.ctx = ui->site,
	};
	const struct ui_status_config status = {
		.channel = ui->channel,
		.server = ui->o.server,
		.notify = ui_site_wake,
		.ctx = ui->site,
	};

	if (getrandom(&view.seed, sizeof view.seed, 0) != sizeof view.seed)
		return err_os(e, "random seed");
	enum err_code code = ui_hub_new(&view, &ui->hub, e);
	return code == ERR_OK ? ui_status_new(&status, &ui->status, e) : code;
}

/* One line "ready URL", for whoever started us. */
static void tell_ready(const struct ui *ui)
{
	char line[UI_HOST_BYTES + 32];
	bool v6 = strchr(ui->o.listen_host, ':') != NULL;

	(void)snprintf(line, sizeof line, "ready http%s://%s%s%s:%u",
		       ui->o.server_cert_file ? "s" : "", v6 ? "[" : "", ui->o.listen_host,
		       v6 ? "]" : "", ui_site_port(ui->site));
	log_info("serving", "url=%s server=%s", line + strlen("ready "), LOG_QUOTE(ui->o.server));
	opt_tell_ready(&ui->o.common, line);
}

static enum err_code serve(struct ui *ui, struct err *e)
{
	static enum err_code (*const steps[])(struct ui *, struct err *) = {
		take_signals, open_channel, open_login, open_site, open_views,
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		enum err_code code = steps[i](ui, e);
		if (code != ERR_OK)
			return code;
	}
	tell_ready(ui);
	ui_site_run(ui->site, ui->hub, ui->status);
	notify_send("STOPPING=1");
	log_info("stopping", "");
	return ERR_OK;
}

int main(int argc, char **argv)
{
	__attribute__((cleanup(ui_done_guard_))) struct ui ui = { .signals = -1 };
	struct err e;

	std_fds_hold();
	if (ui_options_read(argc, (const char *const *)argv, &ui.o, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-ui: %s\n", e.msg);
		return 1;
	}
	if (opt_is_answered(&ui_program, &ui.o.common))
		return std_fds_end("tycho-ui");
	log_set_level(ui.o.common.log_level);
	if (serve(&ui, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-ui: %s\n", e.msg);
		return 1;
	}
	return 0;
}
