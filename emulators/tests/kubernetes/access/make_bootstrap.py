"""Writes ``access/data/bootstrap.json``: the roles, bindings and flow control that a real API server makes.

Run by hand against an untouched real cluster of the version that the emulators serve::

    python make_bootstrap.py KUBECTL KUBECONFIG OUTPUT
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RESOURCES = (
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
)
KEPT = ("name", "namespace", "labels", "annotations")


def compact(item: dict[str, Any]) -> dict[str, Any]:
    """What the server was told, without what it said itself."""
    made = {name: value for name, value in item.items() if name not in ("metadata", "apiVersion", "status")}
    if "aggregationRule" in made:
        made["rules"] = []  # the union of others, made anew
    return {"metadata": {name: item["metadata"][name] for name in KEPT if name in item["metadata"]}, **made}


def main(kubectl: str, kubeconfig: str, output: Path) -> None:
    """Ask, and write one object per line."""
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in RESOURCES:
        command = [kubectl, "--kubeconfig", kubeconfig, "get", resource, "-A", "-o", "json"]
        items = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["items"]
        found[resource] = [compact(item) for item in items]
    lines: list[str] = []
    for resource, items in found.items():
        inside = ",\n".join("  " + json.dumps(item, separators=(",", ":")) for item in items)
        lines.append(f" {json.dumps(resource)}: [\n{inside}\n ]")
    output.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
