"""The answer to a request, in this process or in one of its own: `python -m linprobe.lab.answering`.

The process reads requests on stdin, a socket, and writes answers there: each is four bytes, the length, and then that
many bytes of JSON. It ends when nobody holds the other end any more, however that came about.
"""

from __future__ import annotations

import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from linprobe.errors import LinprobeError
from linprobe.lab.protocol import Client, Method, encode
from linprobe.plain import parse_json
from linprobe.wording import in_words

__all__ = ["HEAD", "answered", "framed"]

HEAD = 4
"""Bytes of the length in front of each message."""


def answered(client: Client, number: int | str, method: Method[Any], params: Mapping[str, object]) -> dict[str, object]:
    """The answer to one request, whatever happens in it.

    Args:
        client: whose it is.
        number: the id of the request.
        method: of it.
        params: of it.
    """
    try:
        return {"id": number, "result": method.answer(client, params)}
    except LinprobeError as error:
        return {"id": number, "error": in_words(str(error))}
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return {"id": number, "error": f"{type(error).__name__}: {error}. This is a bug in linprobe."}


def framed(content: bytes) -> bytes:
    """A message with its length in front."""
    return len(content).to_bytes(HEAD, "big") + content


def main() -> None:
    """Answer requests until the other end is closed."""
    from linprobe.lab.pages import PAGES

    pages = (page for page in PAGES if page.for_students)
    methods = {f"{page.name}.{name}": method for page in pages for name, method in page.methods.items()}
    nobody: Any = None  # these methods need no client
    with socket.socket(fileno=sys.stdin.fileno()) as connection, connection.makefile("rwb") as stream:
        while len(head := stream.read(HEAD)) == HEAD:
            asked = parse_json(stream.read(int.from_bytes(head, "big")).decode("utf-8", "surrogatepass"))
            answer = answered(nobody, asked["id"], methods[asked["method"]], asked.get("params", {}))
            stream.write(framed(encode(answer).encode("ascii")))
            stream.flush()


if __name__ == "__main__":
    main()
