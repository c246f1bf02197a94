/*
 * policy_fixture - policies of namespace shop, and two pods of it to ask about.
 */
#ifndef TYCHO_TESTS_POLICY_FIXTURE_H
#define TYCHO_TESTS_POLICY_FIXTURE_H

#include "policy_text.h"

#define KNP(name, spec)                                                                            \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                  \
	"metadata: {name: " name ", namespace: shop, uid: u-1, resourceVersion: '42'}\n"           \
	"spec: " spec "\n"
#define CNP(spec)                                                                                  \
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"                                    \
	"metadata: {name: p, namespace: shop}\nspec: " spec "\n"

#define CCNP(spec)                                                                                 \
	"apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n"                         \
	"metadata: {name: p}\nspec: " spec "\n"

extern const struct policy_end web, db;
/* May @subject and @peer talk? @peer_name: by which DNS name it was asked for, or NULL. */
struct policy_answer ask(const struct policy_set *set, enum policy_direction direction,
			 const struct policy_end *subject, const struct policy_end *peer,
			 const char *peer_name, uint8_t protocol, uint16_t port);

#endif
