/* Numbers of the guard's protocol. The frames are described in src/dataplane/guard-protocol.ts, whose test compares both. */
#ifndef KOI_GUARD_PROTOCOL_H
#define KOI_GUARD_PROTOCOL_H

#define GUARD_VERSION 2

#define GUARD_COMMAND_FD 3
#define GUARD_REPORT_FD 4

#define GUARD_HEADER_BYTES 12
#define GUARD_FRAME_BYTES_MAX 262144
#define GUARD_REPORT_BYTES_MAX 1024

#define GUARD_VRS_MAX 1024
#define GUARD_ADDRESSES_MAX 4096
/* of each virtual router: over both families, in two forms of checksum */
#define GUARD_ADVERTS_MAX 4096
#define GUARD_ADVERT_BYTES_MAX 512
#define GUARD_NAME_BYTES_MAX 63
#define GUARD_NETNS_BYTES_MAX 255

#define GUARD_HELLO 1
#define GUARD_PUT 2
#define GUARD_DROP 3
#define GUARD_HEARTBEAT 4
#define GUARD_DEADLINE 5
#define GUARD_BYE 6

#define GUARD_ACK 129
#define GUARD_REPORT 130

#define GUARD_OK 0
#define GUARD_MALFORMED 1
#define GUARD_WRONG_VERSION 2
#define GUARD_WRONG_PARENT 3
#define GUARD_NOT_GREETED 4
#define GUARD_UNKNOWN_COMMAND 5
#define GUARD_UNKNOWN_VR 6
#define GUARD_TOO_MANY_ADDRESSES 7
#define GUARD_TOO_MANY_ADVERTS 8
#define GUARD_ADVERT_TOO_LONG 9
#define GUARD_NAMESPACE_UNUSABLE 10
#define GUARD_LEASE_ENDED 11

#define GUARD_EXIT_BYE 0
#define GUARD_EXIT_UNUSABLE 2
#define GUARD_EXIT_FENCED 3

#endif
