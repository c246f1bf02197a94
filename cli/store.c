/*
 * tycho store: what can be done with an observer's store on its own machine.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/state.h"
#include "cli/command.h"
#include "cli/file.h"
#include "cli/pubkey.h"
#include "cli/report.h"
#include "evidence/store_check.h"
#include "flow/json.h"

enum {
	DICT_ENTRIES = 1 << 20,
	TEXT_MAX_BYTES = 1 << 20,
	FILE_MAX_BYTES = 256 << 20,
};

static const struct flag_def verify_defs[] = {
	{ .name = "store",
	  .type = FLAG_STRING,
	  .placeholder = "DIR",
	  .values = "FILE",
	  .help = "The store's folder (default /var/lib/tycho, or $XDG_STATE_HOME/tycho when not "
		  "root)" },
	{ .name = "pubkey",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "KEY",
	  .values = "FILE",
	  .help = "Believe checkpoints that this key has signed only: a PEM file, or a "
		  "fingerprint (64 hex digits); repeatable, for a key that took another's place" },
	{ .name = "checkpoints",
	  .type = FLAG_STRING,
	  .placeholder = "FILE",
	  .values = "FILE",
	  .help = "Checkpoints that were kept elsewhere (--checkpoint-to of the observer): the "
		  "store's chain must agree with them" },
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "text",
	  .placeholder = "FORMAT",
	  .values = "json text",
	  .help = "Output format: text, or json (one object)" },
};
static const struct flag_set verify_flags = { "Store", verify_defs, ARRAY_LEN(verify_defs) };
static const struct flag_set *const verify_sets[] = { &verify_flags };

/* --- what was found ------------------------------------------------------------------------- */

static unsigned long long n(uint64_t v)
{
	return v;
}

/* "3 gaps of 2m4s, 17 records and what 2 of them do not know" */
static void put_gaps(struct buf *b, const struct store_check_gaps *g)
{
	uint64_t span_ns = g->span_ns < NS_PER_S ? g->span_ns : g->span_ns / NS_PER_S * NS_PER_S;

	buf_printf(b, "%llu %s of ", n(g->count), g->count == 1 ? "gap" : "gaps");
	duration_put(b, (int64_t)span_ns);
	if (g->unknown < g->count) {
		buf_lit(b, ", ");
		buf_grouped(b, g->lost);
		buf_str_put(b, g->lost == 1 ? STR(" record") : STR(" records"));
		if (g->unknown)
			buf_printf(b, " and what %llu of them %s not know", n(g->unknown),
				   g->unknown == 1 ? "does" : "do");
	} else {
		buf_lit(b, ", nobody knows how many records");
	}
	buf_char(b, '\n');
}

static void put_text(struct buf *b, const struct store_check_config *config,
		     const struct store_check_result *r)
{
	buf_printf(b, "%s: %llu records in %llu blocks, entries %llu to %llu of the chain\n",
		   r->missing.count ? "nothing was changed, but the record has gaps"
				    : "the record is whole",
		   n(r->records), n(r->blocks), n(r->first_entry), n(r->last_entry));
	if (r->missing.count) {
		buf_lit(b, "  missing, by the record's own word: ");
		put_gaps(b, &r->missing);
	}
	for (int cause = 0; cause < STORE_GAP_CAUSES_; cause++) {
		if (!r->gaps[cause].count)
			continue;
		buf_printf(b, "    %s: ", store_gap_cause_name((enum store_gap_cause)cause));
		put_gaps(b, &r->gaps[cause]);
	}
	if (r->damaged_blocks)
		buf_printf(b, "  blocks that are damaged, each a gap of the chain: %llu\n",
			   n(r->damaged_blocks));
	if (r->checkpoints)
		buf_printf(b, "  signed by checkpoints: %llu, the last of %s, by key %s\n",
			   n(r->checkpoints), r->last_time, r->fingerprint);
	if (r->keys_before)
		buf_printf(b, "  and before by %llu other key%s\n", n(r->keys_before),
			   r->keys_before == 1 ? "" : "s");
	if (!r->checkpoints)
		buf_lit(b, "  signed by nobody: there is no checkpoint in it, so whoever can write "
			   "the file could have made all of it\n");
	if (config->checkpoints.p)
		buf_printf(b, "  separately kept checkpoints that agree: %llu\n", n(r->kept_agree));
	if (r->kept_older)
		buf_printf(b, "  and of entries that were pruned since: %llu\n", n(r->kept_older));
	if (r->unsigned_entries)
		buf_printf(b, "  entries at its end that are not signed yet: %llu\n",
			   n(r->unsigned_entries));
}

/* 64-bit numbers as texts, as proto3 JSON has them. */
static void put_member(struct buf *b, const char *name, uint64_t v)
{
	buf_printf(b, ",\"%s\":\"%llu\"", name, n(v));
}

static void put_json_gaps(struct buf *b, const struct store_check_gaps *g)
{
	buf_printf(b, "\"count\":\"%llu\",\"seconds\":%llu.%09llu", n(g->count),
		   n(g->span_ns / NS_PER_S), n(g->span_ns % NS_PER_S));
	put_member(b, "lost", g->lost);
	put_member(b, "lost_unknown", g->unknown);
	buf_char(b, '}');
}

static void put_json(struct buf *b, const char *dir, const struct store_check_config *config,
		     const struct store_check_result *r)
{
	bool is_first = true;

	buf_lit(b, "{\"store\":");
	json_put_string(b, str_of(dir));
	buf_printf(b, ",\"whole\":%s", r->missing.count ? "false" : "true");
	put_member(b, "records", r->records);
	put_member(b, "blocks", r->blocks);
	put_member(b, "first_entry", r->first_entry);
	put_member(b, "last_entry", r->last_entry);
	put_member(b, "damaged_blocks", r->damaged_blocks);
	buf_lit(b, ",\"missing\":{");
	put_json_gaps(b, &r->missing);
	buf_lit(b, ",\"gaps\":[");
	for (int cause = 0; cause < STORE_GAP_CAUSES_; cause++) {
		if (!r->gaps[cause].count)
			continue;
		buf_printf(b, "%s{\"cause\":\"%s\",", is_first ? "" : ",",
			   store_gap_cause_name((enum store_gap_cause)cause));
		put_json_gaps(b, &r->gaps[cause]);
		is_first = false;
	}
	buf_char(b, ']');
	put_member(b, "checkpoints", r->checkpoints);
	if (r->checkpoints)
		buf_printf(b, ",\"last_signed\":\"%s\",\"key\":\"%s\"", r->last_time,
			   r->fingerprint);
	if (r->keys_before)
		put_member(b, "other_keys", r->keys_before);
	put_member(b, "unsigned_entries", r->unsigned_entries);
	if (config->checkpoints.p) {
		put_member(b, "kept_checkpoints_agree", r->kept_agree);
		put_member(b, "kept_checkpoints_pruned", r->kept_older);
	}
	buf_lit(b, "}\n");
}

/* --- the command ---------------------------------------------------------------------------- */

static enum err_code run_verify(struct cli *cli, struct err *e)
{
	const char *dir = flags_text(cli->flags, "store"),
		   *kept = flags_text(cli->flags, "checkpoints");
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(store_reader_free) struct store_reader *reader = NULL;
	AUTO(pubkeys_free) struct pubkeys *keys = NULL;
	AUTO_BUF struct buf out = buf_init(TEXT_MAX_BYTES), lines = buf_init(FILE_MAX_BYTES);
	struct store_check_config config = { .checkpoints = { NULL, 0 } };
	struct store_check_result found;
	char usual[4096];

	state_folder(usual, sizeof usual);
	dir = *dir ? dir : usual;
	if (pubkeys_read(cli->flags, &keys, e) != ERR_OK ||
	    (*kept && cli_read(kept, &lines, e) != ERR_OK) ||
	    flow_dict_new(DICT_ENTRIES, &dict, e) != ERR_OK ||
	    store_reader_open(dir, dict, &reader, e) != ERR_OK)
		return e->code;
	/* A store that is written goes on meanwhile: blocks come, and go with their entries. */
	if (store_reader_hold(reader, e) != ERR_OK)
		return e->code;
	config.reader = reader;
	config.dict = dict;
	config.keys = keys->list;
	config.key_count = keys->count;
	if (*kept)
		config.checkpoints = lines.len ? buf_str(&lines) : STR("");
	if (evidence_store_check(&config, &found, e) != ERR_OK)
		return err_in(e, "%s", dir);
	if (keys->count && !found.checkpoints)
		return err_set(e, ERR_PARSE,
			       "%s: nothing in it is signed by the key that was given: there is no "
			       "checkpoint",
			       dir);
	if (strcmp(flags_text(cli->flags, "output"), "json") == 0) {
		put_json(&out, dir, &config, &found);
	} else {
		buf_printf(&out, "%s: ", dir);
		put_text(&out, &config, &found);
	}
	return cli_write(buf_str(&out), e);
}

static const struct command verify_command = {
	.name = "verify",
	.help = "Check a store's chain, records and checkpoints",
	.details =
		"Checks from the file alone that every entry of the chain follows from the one "
		"before, that the records are those the chain holds and that questions find them, "
		"that no gap is hidden, and that the checkpoints were signed over this chain. The "
		"observer may go on running: "
		"what it writes meanwhile is not looked at, and flows.db-wal grows by it until the "
		"check ends. Names the first thing wrong and fails, if there is one.\n"
		"\n"
		"What the record itself owns up to be missing is no fault of it: gaps are counted, "
		"by cause, with the time that they take and the records that were lost.\n"
		"\n"
		"Whoever owns the node has its key, and could make and sign another past. With the "
		"checkpoints that left the node before, that is found, too.",
	.examples = "  tycho store verify\n"
		    "  tycho store verify --store /mnt/node/var/lib/tycho --pubkey worker-1.pem\n"
		    "  tycho store verify --checkpoints /mnt/worm/checkpoints.jsonl\n"
		    "  tycho store verify -o json | jq .missing",
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
