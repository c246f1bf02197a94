/*
 * quiet - which drop reasons the drop program leaves out; decided by name in user space
 * (observer/source/reasons.c).
 */
#ifndef TYCHO_BPF_QUIET_H
#define TYCHO_BPF_QUIET_H

enum quiet {
	QUIET_ALWAYS = 1 << 0,  /* never an event */
	QUIET_CONTROL = 1 << 1, /* no event if the packet is ICMP, ICMPv6 or IGMP */
	QUIET_ACK = 1 << 2,     /* no event if the packet is TCP and only acknowledges, or ends */
};

/* Reasons of the core kernel are few and counted from 0; those of subsystems (subsystem << 16 |
 * reason) are never quiet. */
enum { QUIET_REASONS = 256 };

#endif
