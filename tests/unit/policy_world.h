/*
 * policy_world - pods that live here and elsewhere, and the policies that are named for flows between them.
 */
#ifndef TYCHO_TESTS_POLICY_WORLD_H
#define TYCHO_TESTS_POLICY_WORLD_H

#include "flow/flow.pb-c.h"
#include "observer/policy/table.h"
#include "policy_text.h"

enum { EVENT_DROP = 1, EVENT_TRACE = 4, EVENT_VERDICT = 5, PORT = 8080 };

struct world {
	struct flow_dict *dict;
	struct policy_table *table;
	struct endpoint_id web, db, far, outside;
	struct buf ext, wire;
};
int world_make(void **state); /* cmocka's setup and teardown; no policies yet */
int world_free(void **state);
struct endpoint_id endpoint(struct world *w, uint32_t id, const char *ns, const char *pod,
			    const char *label);

#define KNP(name, spec)                                                                            \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                  \
	"metadata: {name: " name ", namespace: shop, resourceVersion: '42'}\nspec: " spec          \
	"\n---\n"
#define DB_FROM_WEB                                                                                \
	KNP("db", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: "       \
		  "{matchLabels: {app: web}}}], ports: [{port: 8080}]}]}")

/* @text is all that there is from now on. */
void in_force(struct world *w, const char *text);

/* The first packet of a connection. */
struct flow flow_of(int32_t event, struct endpoint_id src, struct endpoint_id dst, uint16_t port);
/* The flow as a client sees it; for done(). */
Flow__Flow *named(struct world *w, struct flow f);
int source_of(const Flow__Flow *m); /* 0 where nothing is said */
size_t policies_of(const Flow__Flow *m);
void done(Flow__Flow *m);

#endif
