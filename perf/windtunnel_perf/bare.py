"""The yardstick for the ARM front door: a bare ASGI application on the same server that does the same work.

    python -m windtunnel_perf.bare READY_FILE CERTIFICATE KEY [--json stdlib|msgspec]

For each GET it hashes the token, reads one row of SQLite, parses and dumps 1.2 KB of JSON. No framework, no routing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def document() -> dict[str, object]:
    """About 1.2 KB of JSON, in the shape of a container group."""
    return {
        "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups/bench",
        "name": "bench",
        "type": "Microsoft.ContainerInstance/containerGroups",
        "location": "westus2",
        "tags": {"owner": "bench"},
        "properties": {
            "provisioningState": "Succeeded",
            "restartPolicy": "Always",
            "osType": "Linux",
            "containers": [
                {
                    "name": f"c{n}",
                    "properties": {
                        "image": "mcr.microsoft.com/azuredocs/aci-helloworld",
                        "ports": [{"port": 80 + n, "protocol": "TCP"}],
                        "environmentVariables": [{"name": "A", "value": "B" * 40}],
                        "resources": {"requests": {"cpu": 1.0, "memoryInGB": 1.5}},
                        "instanceView": {"restartCount": 0, "currentState": {"state": "Running", "detailStatus": ""}},
                    },
                }
                for n in range(3)
            ],
        },
    }


def application(loads: Callable[[bytes], Any], dumps: Callable[[Any], bytes]) -> Callable[..., Awaitable[None]]:
    """The ASGI application."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("CREATE TABLE resources (key TEXT PRIMARY KEY, body BLOB)")
    database.execute("INSERT INTO resources VALUES ('bench', ?)", (json.dumps(document()).encode(),))
    known: set[bytes] = set()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        token = next(value for name, value in scope["headers"] if name == b"authorization")
        known.add(hashlib.sha256(token).digest())
        (body,) = database.execute("SELECT body FROM resources WHERE key = ?", ("bench",)).fetchone()
        answer = dumps(loads(body))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def main() -> None:
    """Serve until killed; the ready file holds the port once it listens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ready", type=Path)
    parser.add_argument("certificate", type=Path)
    parser.add_argument("key", type=Path)
    parser.add_argument("--json", choices=("stdlib", "msgspec"), default="msgspec")
    arguments = parser.parse_args()
    if arguments.json == "msgspec":
        app = application(msgspec.json.decode, msgspec.json.encode)
    else:
        app = application(json.loads, lambda value: json.dumps(value).encode())
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        log_level="warning",
        access_log=False,
        lifespan="off",
        ssl_certfile=str(arguments.certificate),
        ssl_keyfile=str(arguments.key),
    )
    config.load()
    arguments.ready.write_text(str(sock.getsockname()[1]), "utf-8")
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
