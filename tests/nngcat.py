"""What the wire's page needs of `nngcat`, on a machine that doesn't have it.

It speaks nng's protocol over plain sockets: `--req --data` and `--sub --subscribe`, with
`--dial ipc://…`, `--raw` and `--count`.
"""

import argparse
import socket
import struct
import sys

_PROTOCOLS = {"req": 0x30, "sub": 0x21}
_REQUEST = struct.pack(">I", 0x80000001)
"""A request's number, with the bit that ends the list of them."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--req", dest="kind", action="store_const", const="req", required=False)
    options.add_argument("--sub", dest="kind", action="store_const", const="sub", required=False)
    options.add_argument("--dial", required=True)
    options.add_argument("--raw", action="store_true", required=True)
    options.add_argument("--data", default="")
    options.add_argument("--subscribe", default="")
    options.add_argument("--count", type=int, default=1)
    chosen = options.parse_args()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(chosen.dial.removeprefix("ipc://"))
        stream = peer.makefile("rwb")
        stream.write(b"\0SP\0" + struct.pack(">HH", _PROTOCOLS[chosen.kind], 0))
        stream.flush()
        if not stream.read(8).startswith(b"\0SP\0"):
            sys.exit("that is no nng socket")
        if chosen.kind == "req":
            body = _REQUEST + chosen.data.encode()
            stream.write(b"\x01" + struct.pack(">Q", len(body)) + body)
            stream.flush()
        left = chosen.count
        while left:
            _, size = struct.unpack(">BQ", stream.read(9))
            message = stream.read(size)
            if chosen.kind == "req":
                message = message.removeprefix(_REQUEST)
            elif not message.startswith(chosen.subscribe.encode()):
                continue
            sys.stdout.buffer.write(message)
            sys.stdout.flush()
            left -= 1


if __name__ == "__main__":
    main()
