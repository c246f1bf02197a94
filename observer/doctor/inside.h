/*
 * What the parts of the observer's examination share.
 */
#ifndef TYCHO_OBSERVER_DOCTOR_INSIDE_H
#define TYCHO_OBSERVER_DOCTOR_INSIDE_H

#include "doctor/finding.h"
#include "observer/doctor/doctor.h"

enum { DOCTOR_TEXT_BYTES = 1024 };

struct doctor {
	const struct obs_options *o;
	const char *node;
	struct findings findings;
};

/* @fix "" where nothing is to be done. */
void doctor_say(struct doctor *d, enum verdict v, const char *check, const char *fix,
		const char *fmt, ...) FORMAT(5, 6);
/* @path: NULL: none. @is_server: clients look for a name in it. */
void doctor_certificate(struct doctor *d, const char *path, bool is_server);

void doctor_export(struct doctor *d);
void doctor_kubernetes(struct doctor *d);
void doctor_clickhouse(struct doctor *d);

#endif
