"""Records what a real API server makes of sparse objects: ``data/defaults.json``, pairs of input and output.

Run by hand: ``python make_defaults.py KUBECONFIG``. The inputs are in ``data/defaults_inputs.yaml``; requests are dry
runs. What only storage, admission and allocation write is left out of the outputs.
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

OF_THE_SERVER = ("uid", "creationTimestamp", "managedFields", "namespace", "generation", "selfLink", "resourceVersion")
OF_ADMISSION = {
    "Pod": ("tolerations", "priority", "preemptionPolicy", "serviceAccountName", "serviceAccount"),
    "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"),
}


def main() -> None:
    server = Server(Path(sys.argv[1]))
    kinds = json.loads((HERE / "../../../windtunnel_emulators/kubernetes/objects/data/kinds.json").read_text())
    pairs: list[Any] = []
    for whole in yaml.safe_load_all((HERE / "data/defaults_inputs.yaml").read_text()):
        group, _, version = whole["apiVersion"].rpartition("/")
        info = next(k for k in kinds if (k["group"], k["version"], k["kind"]) == (group, version, whole["kind"]))
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        inside = "/namespaces/default" if info["namespaced"] else ""
        try:
            made = server.send("POST", f"{root}{inside}/{info['plural']}?dryRun=All&fieldValidation=Strict", whole)
        except urllib.error.HTTPError as problem:
            print(whole["kind"], whole["metadata"]["name"], json.load(problem)["message"])
            continue
        pairs.append({"input": whole, "output": without_server(made)})
    lines = ",\n".join(json.dumps(pair, separators=(",", ":")) for pair in pairs)
    (HERE / "data/defaults.json").write_text(f"[\n{lines}\n]\n")
    print(len(pairs), "pairs")


def without_server(whole: Any) -> Any:
    for name in OF_THE_SERVER:
        whole["metadata"].pop(name, None)
    for name in OF_ADMISSION.get(whole["kind"], ()):
        whole["spec"].pop(name, None)
    for port in whole.get("spec", {}).get("ports", ()) if whole["kind"] == "Service" else ():
        port.pop("nodePort", None)
    return whole


if __name__ == "__main__":
    main()
