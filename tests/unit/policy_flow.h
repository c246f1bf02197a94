/* Flows as policies see them: one pod asks another. */
#ifndef TYCHO_TESTS_POLICY_FLOW_H
#define TYCHO_TESTS_POLICY_FLOW_H

#include "flow/flow.h"

enum { DENIED_BY_DEFAULT = 133, EVENT_TRACE = 4 };

/* TCP to @port, forwarded on its way in; addresses are 10.0.x.y by the ends' ids. */
struct flow flow_of(struct endpoint_id src, struct endpoint_id dst, uint16_t port);
/* The same, dropped because no policy allows it. */
struct flow drop_of(struct endpoint_id src, struct endpoint_id dst, uint16_t port);
struct flow reply_to(struct flow f);

#endif
