"""Makes ``api/protobuf/messages.txt``: the numbers, names and types of the fields of Kubernetes' messages.

    python make_protobuf.py MODULES

MODULES is the folder that has ``api@v0.34.4``, ``apimachinery@v0.34.4``, ``apiextensions-apiserver@v0.34.4`` and
``kube-aggregator@v0.34.4`` (``go mod download k8s.io/api@v0.34.4`` and so on; Apache-2.0). Read are the generated.proto
files, for numbers and types, and types.go, for the names in JSON, for which fields are pointers, so that zero is a
value of theirs, and for which are parts of the message around them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

VERSION = "v0.34.4"
FOLDERS = {
    "k8s.io.api.admissionregistration.v1": ("api", "admissionregistration/v1"),
    "k8s.io.api.apps.v1": ("api", "apps/v1"),
    "k8s.io.api.authentication.v1": ("api", "authentication/v1"),
    "k8s.io.api.authorization.v1": ("api", "authorization/v1"),
    "k8s.io.api.autoscaling.v1": ("api", "autoscaling/v1"),
    "k8s.io.api.autoscaling.v2": ("api", "autoscaling/v2"),
    "k8s.io.api.batch.v1": ("api", "batch/v1"),
    "k8s.io.api.certificates.v1": ("api", "certificates/v1"),
    "k8s.io.api.coordination.v1": ("api", "coordination/v1"),
    "k8s.io.api.core.v1": ("api", "core/v1"),
    "k8s.io.api.discovery.v1": ("api", "discovery/v1"),
    "k8s.io.api.events.v1": ("api", "events/v1"),
    "k8s.io.api.flowcontrol.v1": ("api", "flowcontrol/v1"),
    "k8s.io.api.networking.v1": ("api", "networking/v1"),
    "k8s.io.api.node.v1": ("api", "node/v1"),
    "k8s.io.api.policy.v1": ("api", "policy/v1"),
    "k8s.io.api.rbac.v1": ("api", "rbac/v1"),
    "k8s.io.api.resource.v1": ("api", "resource/v1"),
    "k8s.io.api.scheduling.v1": ("api", "scheduling/v1"),
    "k8s.io.api.storage.v1": ("api", "storage/v1"),
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1": (
        "apiextensions-apiserver",
        "pkg/apis/apiextensions/v1",
    ),
    "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1": ("kube-aggregator", "pkg/apis/apiregistration/v1"),
    "k8s.io.apimachinery.pkg.apis.meta.v1": ("apimachinery", "pkg/apis/meta/v1"),
    "k8s.io.apimachinery.pkg.runtime": ("apimachinery", "pkg/runtime"),
    "k8s.io.apimachinery.pkg.api.resource": ("apimachinery", "pkg/api/resource"),
    "k8s.io.apimachinery.pkg.util.intstr": ("apimachinery", "pkg/util/intstr"),
}
SCALARS = {"string": "s", "bytes": "b", "int32": "i", "int64": "i", "bool": "t", "double": "d", "uint32": "i"}
MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.M | re.S)
FIELD = re.compile(r"^  (optional|repeated|map<string, ([\w.]+)>) ?(?:([\w.]+) )?(\w+) = (\d+);", re.M)
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
MEMBER = re.compile(r"^\s(?:\w+\s+)?(\S+)\s+`json:\"([^\"]*)\"(?: +\w+:\"[^\"]*\")*? protobuf:\"\w+,(\d+)", re.M)


def members(folder: Path) -> dict[str, dict[int, tuple[str, bool, bool]]]:
    """By struct and field number: the name in JSON, whether it is a pointer, whether it is inline."""
    found: dict[str, dict[int, tuple[str, bool, bool]]] = {}
    for file in sorted(folder.glob("*.go")):
        if file.name.startswith(("generated", "zz_")) or file.name.endswith("_test.go"):
            continue
        for name, body in STRUCT.findall(file.read_text()):
            fields = found.setdefault(name, {})
            for type_, tag, number in MEMBER.findall(body):
                json_name, _, rest = tag.partition(",")
                fields[int(number)] = (json_name, type_.startswith("*"), "inline" in rest)
    return found


def main(modules: Path) -> None:
    lines: list[str] = []
    for package, (module, folder) in FOLDERS.items():
        place = modules / f"{module}@{VERSION}" / folder
        known = members(place)
        for name, body in MESSAGE.findall((place / "generated.proto").read_text()):
            if name.endswith("List"):
                continue
            fields: list[str] = []
            for label, value, type_, proto_name, number in FIELD.findall(body):
                json_name, pointer, inline = known.get(name, {}).get(int(number), ("", False, False))
                flags = "M" if value else "R" if label == "repeated" else ""
                flags += ("P" if pointer else "") + ("I" if inline else "")
                kind = SCALARS.get(value or type_)
                if kind is None:
                    message = (value or type_).removeprefix(".")
                    kind = "m" + (message if "." in message else f"{package}.{message}")
                fields.append(f"{number}:{json_name or proto_name}:{kind}:{flags}")
            lines.append(" ".join([f"{package}.{name}", *fields]))
    target = Path(__file__).parents[3] / "windtunnel_emulators/kubernetes/api/protobuf/messages.txt"
    head = f"# Made by emulators/tests/kubernetes/api/make_protobuf.py from the Go modules k8s.io/* {VERSION}.\n"
    names = sorted({line.split(" ")[0].rpartition(".")[0] for line in lines}, key=len, reverse=True)
    text = "\n".join(lines)
    for index, package in enumerate(names):
        text = text.replace(package + ".", f"${index}.")
    packages = "".join(f"${index} {package}\n" for index, package in enumerate(names))
    target.write_text(head + packages + text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
