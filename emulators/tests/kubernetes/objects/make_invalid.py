"""Records why a real API server refuses objects: ``data/invalid.json``, pairs of input and causes.

Run by hand: ``python make_invalid.py KUBECONFIG``. The inputs are in ``data/invalid_inputs.yaml``.
"""

from __future__ import annotations

import json
import sys
import urllib.error
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path.append(str(HERE / "../../helpers"))

from make_schemas import Server  # noqa: E402  # of the helpers, which only pytest has on its path


def main() -> None:
    server = Server(Path(sys.argv[1]))
    kinds = json.loads((HERE / "../../../windtunnel_emulators/kubernetes/objects/data/kinds.json").read_text())
    found: list[Any] = []
    for whole in yaml.safe_load((HERE / "data/invalid_inputs.yaml").read_text()):
        group, _, version = whole["apiVersion"].rpartition("/")
        info = next(k for k in kinds if (k["group"], k["version"], k["kind"]) == (group, version, whole["kind"]))
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        inside = "/namespaces/default" if info["namespaced"] else ""
        try:
            server.send("POST", f"{root}{inside}/{info['plural']}?dryRun=All", whole)
        except urllib.error.HTTPError as problem:
            status: Any = json.load(problem)
            details: Any = status.get("details") or {}
            causes: Any = details.get("causes")
            if status["reason"] != "Invalid" or not causes:
                print(json.dumps(whole)[:150], "->", status["message"][:300])
                continue
            # Some are said twice or more often: each is kept once.
            lines = [f"{cause['field']}: {cause['message']} ({cause['reason']})" for cause in causes]
            found.append({"input": whole, "causes": list(dict.fromkeys(lines))})
        else:
            print("accepted:", json.dumps(whole)[:300])
    text = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in found)
    (HERE / "data/invalid.json").write_text(f"[\n{text}\n]\n")
    print(len(found), "refusals")


if __name__ == "__main__":
    main()
