#include "cli/forward.h"

#include <stdio.h>

enum { STOP_GRACE_S = 2, WORD_BYTES = 4096, WORDS = 4 };

enum err_code forward_start(struct settings *s, struct forward *ret, struct err *e)
{
	static const char *const passed[WORDS] = { "kubeconfig", "kube-context", "kube-namespace",
						   "port-forward-port" };
	char words[WORDS][WORD_BYTES];
	const char *args[WORDS];
	size_t count = 0;

	if (!settings_bool(s, "port-forward"))
		return ERR_OK;
	for (size_t i = 0; i < WORDS; i++) {
		const char *value = settings_text(s, passed[i]);
		if (!*value)
			continue;
		if (snprintf(words[count], WORD_BYTES, "--%s=%s", passed[i], value) >= WORD_BYTES)
			return err_set(e, ERR_INVALID, "%s: longer than %d bytes", passed[i],
				       WORD_BYTES);
		args[count] = words[count];
		count++;
	}
	ret->child.at_terminal = true;
	if (child_start("tycho-port-forward", args, count, &ret->child, e) != ERR_OK)
		return err_in(e, "--port-forward");
	(void)snprintf(ret->server, sizeof ret->server, "%.63s", ret->child.addresses);
	settings_set_server(s, ret->server);
	return ERR_OK;
}

void forward_stop(struct forward *f)
{
	child_stop(&f->child, STOP_GRACE_S);
}
