/*
 * descriptors - the compiled descriptors of every .proto file here, imports first: the bytes of one
 * google.protobuf.FileDescriptorSet, built in. Server reflection hands its files out.
 */
#ifndef TYCHO_PROTO_DESCRIPTORS_H
#define TYCHO_PROTO_DESCRIPTORS_H

#include <stddef.h>

extern const unsigned char proto_descriptors[];
extern const size_t proto_descriptors_bytes;

#endif
