"""How much of a container's output the service keeps: 4 MB while it runs, then 16 KB or a thousand lines.

Source: Microsoft Learn, "Retrieve container logs and events in Azure Container Instances".
"""

from __future__ import annotations

RUNNING_BYTES = 4 * 1024 * 1024
ENDED_BYTES = 16 * 1024
ENDED_LINES = 1000


def limited(text: str, *, running: bool) -> str:
    """The end of it, as much as is kept, beginning with a whole line."""
    if not running:
        lines = text.splitlines(keepends=True)
        if len(lines) > ENDED_LINES:
            text = "".join(lines[-ENDED_LINES:])
    most = RUNNING_BYTES if running else ENDED_BYTES
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= most:
        return text
    kept = data[-most:]
    first = kept.find(b"\n")
    if 0 <= first < len(kept) - 1:
        kept = kept[first + 1 :]
    return kept.decode("utf-8", "ignore")
