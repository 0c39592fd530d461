"""A real HTTP server on 127.0.0.1 for tests of the load generator; run as a process of its own.

Prints its port. The first path element says how it answers; see BEHAVIOURS.
"""

from __future__ import annotations

import asyncio
import json
import socket

RIGHT = {
    "model_name": "m",
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [0.1, 0.2]}],
}
WRONG_ROWS = {
    "model_name": "m",
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [0.1]}],
}
MIXED = ("right", "error", "wrong", "drop", "redirect", "right", "refuse", "slow")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global count
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if "content-length:" in line]
            length = int(lengths[0]) if lengths else 0
            await reader.readexactly(length)
            behaviour = head.split(" ")[1].split("/")[1]
            if behaviour == "mixed":
                behaviour = MIXED[count % len(MIXED)]
                count += 1
            if behaviour == "drop":
                break
            await asyncio.sleep({"slow": 30.0, "steady": 0.02}.get(behaviour, 0.0))
            writer.write(answer(behaviour))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def answer(behaviour: str) -> bytes:
    status, value = {
        "error": ("503 Service Unavailable", {"error": "no"}),
        "refuse": ("429 Too Many Requests", {"error": "no"}),
        "redirect": ("302 Found", {}),
        "wrong": ("200 OK", WRONG_ROWS),
    }.get(behaviour, ("200 OK", RIGHT))
    body = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if behaviour == "redirect":
        lines.append("Location: http://192.0.2.1/elsewhere")
    else:
        lines.append("X-Model-Version: 7")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = await asyncio.start_server(serve, sock=listener)
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


count = 0
if __name__ == "__main__":
    asyncio.run(main())
