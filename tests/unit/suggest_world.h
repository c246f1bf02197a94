/* Pods and what is suggested of the flows between them. */
#ifndef TYCHO_TESTS_SUGGEST_WORLD_H
#define TYCHO_TESTS_SUGGEST_WORLD_H

#include "base/buf.h"
#include "flow/dict.h"
#include "policy/suggest.h"
#include "policy_flow.h"

enum { SUGGESTED_MAX = 8 << 20 };

struct world {
	struct flow_dict *dict;
	struct buf ext;
};
/* For cmocka; *@state is a world. */
int suggest_setup(void **state);
int suggest_teardown(void **state);

/* "NAMESPACE/POD", labels with ',' between; @workload "" is none. */
struct endpoint_id pod(struct world *w, const char *ns, const char *name, const char *workload,
		       const char *labels);
struct endpoint_id entity(struct world *w, const char *label);

/* The destination of @f has this name, and no other; its bytes are the world's. */
void with_name(struct world *w, struct flow *f, const char *name);

extern const struct suggest_config plain;
struct suggest_config cilium(void);

/* What @n flows come to; all pods of shop are asked for. The check has passed. */
struct made {
	struct buf text;
	struct suggest_counts counts;
	enum err_code code;
};

struct made made_of(const struct world *w, const struct suggest_config *config,
		    const struct flow *flows, size_t n);
bool says(struct made *m, const char *text);

#define HOLDS(m, text_)                                                                            \
	do {                                                                                       \
		if (!says(&(m), text_))                                                            \
			fail_msg("not in it: %s\n%s", text_, buf_cstr(&(m).text));                 \
	} while (0)
#define LACKS(m, text_)                                                                            \
	do {                                                                                       \
		if (says(&(m), text_))                                                             \
			fail_msg("in it: %s\n%s", text_, buf_cstr(&(m).text));                     \
	} while (0)

#endif
