"""How nng's messages go over a Unix socket: what both sides of the request socket need to know.

See the Scalability Protocols' mapping for TCP, and their request and reply, among nanomsg's RFCs.
"""

import struct

HELLO_OF_A_REQUESTER = b"\x00SP\x00\x00\x30\x00\x00"
HELLO_OF_A_REPLIER = b"\x00SP\x00\x00\x31\x00\x00"
"""What both sides of a connection say first."""
MESSAGE = 1
FRAME = struct.Struct(">BQ")
"""Before each message: what follows, and its size."""
NUMBER = struct.Struct(">I")
"""A message begins with the numbers of the way that its request took; the answer bears the same."""
LAST = 0x80000000
"""The bit that marks the last of them, which is the request's own."""
