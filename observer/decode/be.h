/*
 * be - big-endian numbers in packets, read byte by byte: no alignment, any host.
 */
#ifndef TYCHO_OBSERVER_BE_H
#define TYCHO_OBSERVER_BE_H

#include <stdint.h>

static inline uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

#endif
