/*
 * tycho store: what can be done with an observer's store on its own machine.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/state.h"
#include "cli/command.h"
#include "cli/file.h"
#include "evidence/key.h"
#include "evidence/store_check.h"

enum {
	DICT_ENTRIES = 1 << 20,
	TEXT_MAX_BYTES = 1 << 20,
	FILE_MAX_BYTES = 256 << 20,
	KEY_FILE_BYTES = 1 << 14,
};

static const struct flag_def verify_defs[] = {
	{ .name = "store",
	  .type = FLAG_STRING,
	  .placeholder = "DIR",
	  .values = "FILE",
	  .help = "The store's folder (default /var/lib/tycho, or $XDG_STATE_HOME/tycho when not "
		  "root)" },
	{ .name = "pubkey",
	  .type = FLAG_STRING,
	  .placeholder = "FILE",
	  .values = "FILE",
	  .help = "Public key (PEM) that must have signed the checkpoints" },
	{ .name = "checkpoints",
	  .type = FLAG_STRING,
	  .placeholder = "FILE",
	  .values = "FILE",
	  .help = "Checkpoints that were kept elsewhere (--checkpoint-to of the observer): the "
		  "store's chain must agree with them" },
};
static const struct flag_set verify_flags = { "Store", verify_defs, ARRAY_LEN(verify_defs) };
static const struct flag_set *const verify_sets[] = { &verify_flags };

static enum err_code read_key(const char *path, struct evidence_key **ret, struct err *e)
{
	char bytes[KEY_FILE_BYTES];
	AUTO_FD int fd = -1;

	if (file_open(path, &fd, e) != ERR_OK)
		return e->code;
	ssize_t n = read(fd, bytes, sizeof bytes);
	if (n < 0)
		return err_os(e, "read '%s'", path);
	if (evidence_key_of_pem(str_n(bytes, (size_t)n), ret, e) != ERR_OK)
		return err_in(e, "--pubkey %s", path);
	return ERR_OK;
}

static enum err_code run_verify(struct cli *cli, struct err *e)
{
	const char *dir = flags_text(cli->flags, "store"),
		   *pubkey = flags_text(cli->flags, "pubkey"),
		   *kept = flags_text(cli->flags, "checkpoints");
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(store_reader_free) struct store_reader *reader = NULL;
	AUTO(evidence_key_free) struct evidence_key *key = NULL;
	AUTO_BUF struct buf summary = buf_init(TEXT_MAX_BYTES), lines = buf_init(FILE_MAX_BYTES);
	struct store_check_config config = { .checkpoints = { NULL, 0 } };
	char usual[4096];

	state_folder(usual, sizeof usual);
	dir = *dir ? dir : usual;
	if ((*pubkey && read_key(pubkey, &key, e) != ERR_OK) ||
	    (*kept && cli_read(kept, &lines, e) != ERR_OK) ||
	    flow_dict_new(DICT_ENTRIES, &dict, e) != ERR_OK ||
	    store_reader_open(dir, dict, &reader, e) != ERR_OK)
		return e->code;
	config.reader = reader;
	config.dict = dict;
	config.key = key;
	if (*kept)
		config.checkpoints = lines.len ? buf_str(&lines) : STR("");
	buf_printf(&summary, "%s: ", dir);
	if (evidence_store_check(&config, &summary, e) != ERR_OK)
		return err_in(e, "%s", dir);
	return cli_write(buf_str(&summary), e);
}

static const struct command verify_command = {
	.name = "verify",
	.help = "Check a store's chain, records and checkpoints",
	.details =
		"Checks from the file alone that every entry of the chain follows from the one "
		"before, that the records are those the chain holds, that no gap is hidden, and "
		"that the checkpoints were signed over this chain. The observer may go on running. "
		"Names the first thing wrong and fails, if there is one.\n"
		"\n"
		"Whoever owns the node has its key, and could make and sign another past. With the "
		"checkpoints that left the node before, that is found, too.",
	.examples = "  tycho store verify\n"
		    "  tycho store verify --store /mnt/node/var/lib/tycho --pubkey worker-1.pem\n"
		    "  tycho store verify --checkpoints /mnt/worm/checkpoints.jsonl",
	.sets = verify_sets,
	.set_count = ARRAY_LEN(verify_sets),
	.run = run_verify,
};

static const struct command *const children[] = { &verify_command };

const struct command store_command = {
	.name = "store",
	.help = "Check an observer's store",
	.children = children,
	.child_count = ARRAY_LEN(children),
};
