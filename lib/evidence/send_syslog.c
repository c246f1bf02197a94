#include "evidence/send_syslog.h"

#include <syslog.h>

void send_to_syslog(struct str line)
{
	line = str_trim(line);
	syslog(LOG_DAEMON | LOG_NOTICE, "checkpoint %.*s", STR_FMT(line));
}
