/*
 * notify - tells the service manager how far we are: systemd's protocol, one datagram each.
 *
 * Source   sd_notify(3), "Notes": a state of lines NAME=VALUE, sent to the unix datagram socket
 *          that $NOTIFY_SOCKET names; "@" in front stands for the abstract name space.
 * Loss     without the variable, or when nobody takes it, nothing happens: a service works the same
 *          without.
 * Threads  any.
 */
#ifndef TYCHO_BASE_NOTIFY_H
#define TYCHO_BASE_NOTIFY_H

/* "READY=1": serving, for units of Type=notify; "STOPPING=1": on the way out. */
void notify_send(const char *state);

#endif
