/*
 * doctor - what the steps of `tycho doctor` share: who is examined, and how a finding is said.
 *
 *	doctor_way.c     name ► connect ► tls
 *	doctor_server.c  health ► version ► clock, and flows at the end
 *	doctor_nodes.c   nodes ► stores
 *
 * A step that fails ends the way where the later ones could only say the same again.
 */
#ifndef TYCHO_CLI_DOCTOR_H
#define TYCHO_CLI_DOCTOR_H

#include "cli/command.h"
#include "cli/connect.h"
#include "cli/history.h"
#include "doctor/finding.h"
#include "rpc/address.h"

enum { DOCTOR_ADDRESSES = 16, DOCTOR_ANSWER_BYTES = 4 << 20, DOCTOR_TEXT_BYTES = 1024 };

struct doctor {
	const struct cli *cli;
	struct findings findings;
	uint64_t timeout_ns;
	struct address address;
	struct address found[DOCTOR_ADDRESSES]; /* where that is */
	size_t found_count;
	struct rpc_tls tls;
	const char *ca_files[CONNECTION_CA_FILES];
	bool with_tls;
	struct connection connection;
	bool is_serving;            /* as its health says */
	struct history history;     /* what each node said of the last day … */
	struct err history_missing; /* … or why it did not; code ERR_OK: it did */
	enum err_code write_error;  /* stdout is gone */
	struct err *e;
};

/* @fix "" where nothing is to be done. */
void doctor_say(struct doctor *d, enum verdict verdict, const char *check, const char *fix,
		const char *fmt, ...) FORMAT(5, 6);

/* A call over the connection, within the timeout; @result says how it ended. */
enum err_code doctor_call(struct doctor *d, const char *method, struct str request,
			  struct buf *answer, struct rpc_result *result);
/* What to do about a call that failed on a way that is open. */
const char *doctor_call_fix(const struct doctor *d, const struct rpc_result *r);

/* Up to a server that answers at all. False: the way ends before. */
bool doctor_way(struct doctor *d);
/* A plain call that failed may have met a server that wants TLS. */
void doctor_look_for_tls(struct doctor *d);

/* False: asking on makes no sense. */
bool doctor_health(struct doctor *d);
bool doctor_version(struct doctor *d);
void doctor_clock(struct doctor *d);
/* The newest flow of each node: that flows come through, and that there are any. */
void doctor_flows(struct doctor *d);

/* Asks the nodes for their histories, which the next two look at. */
void doctor_ask_history(struct doctor *d);
void doctor_nodes(struct doctor *d);
/* That what the nodes see is kept. */
void doctor_stores(struct doctor *d);

#endif
