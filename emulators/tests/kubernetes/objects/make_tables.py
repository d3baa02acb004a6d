"""Records what a real API server shows of objects in tables: ``data/tables.json``, objects, cells and the time.

Run by hand: ``python make_tables.py KUBECONFIG``, against a server without controllers. The inputs are in
``data/tables_inputs.yaml``; each object is made, given its status, shown, and deleted again.
"""

from __future__ import annotations

import contextlib
import json
import sys
import urllib.error
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path.append(str(HERE / "../../helpers"))

from make_schemas import Server  # noqa: E402  # of the helpers, which only pytest has on its path

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def main() -> None:
    server = Server(Path(sys.argv[1]))
    kinds = json.loads((HERE / "../../../windtunnel_emulators/kubernetes/objects/data/kinds.json").read_text())
    shown: list[Any] = []
    for whole in yaml.safe_load_all((HERE / "data/tables_inputs.yaml").read_text()):
        group, _, version = whole["apiVersion"].rpartition("/")
        info = next(k for k in kinds if (k["group"], k["version"], k["kind"]) == (group, version, whole["kind"]))
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        inside = "/namespaces/default" if info["namespaced"] else ""
        collection = f"{root}{inside}/{info['plural']}"
        place = f"{collection}/{whole['metadata']['name']}"
        try:
            made = server.send("POST", collection, whole)
            if "status" in whole and any(sub["name"] == "status" for sub in info["subresources"]):
                made["status"] = whole["status"]
                server.send("PUT", f"{place}/status", made)
            now = datetime.now(UTC).isoformat()
            table = server.get(f"{place}?includeObject=Object", TABLE)
        except urllib.error.HTTPError as problem:
            print(place, json.load(problem)["message"])
            continue
        finally:
            with contextlib.suppress(urllib.error.HTTPError):
                server.send("DELETE", f"{place}?gracePeriodSeconds=0")
        (row,) = table["rows"]
        row["object"]["metadata"].pop("managedFields", None)
        shown.append({"now": now, "object": row["object"], "cells": row["cells"], "conditions": row.get("conditions")})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in shown)
    (HERE / "data/tables.json").write_text(f"[\n{lines}\n]\n")
    print(len(shown), "rows")


if __name__ == "__main__":
    main()
