#include "base/buf.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/report.h"
#include "flow/names.h"
#include "peer/peer.pb-c.h"

static enum err_code print_change(void *ctx, struct str message, struct err *e)
{
	enum { TYPE_COLUMNS = 12 };
	Peer__ChangeNotification *change =
		peer__change_notification__unpack(NULL, message.len, (const uint8_t *)message.p);
	AUTO_BUF struct buf line = buf_init(1 << 20);

	(void)ctx;
	if (!change)
		return err_set(e, ERR_PARSE, "the server's notification cannot be read");
	enum_put(&line, &peer__change_notification_type__descriptor, (int32_t)change->type);
	while (line.len < TYPE_COLUMNS)
		buf_char(&line, ' ');
	buf_char(&line, ' ');
	report_text(&line, change->address);
	buf_char(&line, ' ');
	report_text(&line, change->name);
	if (change->tls) {
		buf_lit(&line, " (TLS.ServerName: ");
		report_text(&line, change->tls->server_name);
		buf_char(&line, ')');
	}
	buf_char(&line, '\n');
	peer__change_notification__free_unpacked(change, NULL);
	return cli_write(buf_str(&line), e);
}

static enum err_code nothing_to_flush(void *ctx, struct err *e)
{
	(void)ctx;
	(void)e;
	return ERR_OK;
}

static enum err_code watch_peers(struct cli *cli, struct err *e)
{
	const struct stream_handler handler = { print_change, nothing_to_flush, NULL };

	enum err_code code =
		connection_stream(cli->settings, "/peer.Peer/Notify", STR(""), &handler, e);

	return code == ERR_CANCELLED ? ERR_OK : code; /* it has no other end */
}

static const struct command watch_peers_command = {
	.name = "peers",
	.alias = "peer",
	.help = "Watch the peers of an observer",
	.details = "Prints the nodes that an observer knows, and every change among them, until "
		   "Ctrl-C.",
	.ignores_words = true,
	.uses_server = true,
	.run = watch_peers,
};

static const struct command *const watch_children[] = { &watch_peers_command };

const struct command watch_command = {
	.name = "watch",
	.alias = "w",
	.help = "Watch objects of a server",
	.ignores_words = true,
	.hidden = true,
	.children = watch_children,
	.child_count = ARRAY_LEN(watch_children),
};
