"""Writes the data files of ``kubernetes/objects``: what a real API server says of its kinds, and nothing of its prose.

Run by hand against a real API server of the version that the emulators serve, with the sources of its Go types (for the
order of fields and for which of them are pointers, which OpenAPI does not say)::

    python make_schemas.py KUBECONFIG FOLDER_OF_THE_GO_MODULES OUTPUT_FOLDER

where the second has ``api@v0.34.4``, ``apimachinery@v0.34.4`` and so on, as ``go mod download`` leaves them.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, cast

import yaml

Json = Any


class Server:
    """A real API server."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._server = cluster["server"]
        self._context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as both:
            for name in ("client-certificate-data", "client-key-data"):
                both.write(base64.b64decode(user[name]) + b"\n")
            both.flush()
            self._context.load_cert_chain(both.name)

    def get(self, path: str, accept: str = "application/json") -> Any:
        return self.send("GET", path, accept=accept)

    def send(self, method: str, path: str, body: object = None, *, accept: str = "application/json") -> Any:
        headers = {"Accept": accept, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, context=self._context, timeout=60) as answer:
            return json.load(answer)


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PREFIX = re.compile(r"^#/(definitions|components/schemas)/")
FIELD = re.compile(r"^\t(?:(\w+)\s+)?(\S+)\s+`([^`]*)`")
GO_PLACES = {
    "io.k8s.api.": "api@v0.34.*/",
    "io.k8s.apimachinery.": "apimachinery@v0.34.*/",
    "io.k8s.apiextensions-apiserver.": "apiextensions-apiserver@v0.34.*/",
    "io.k8s.kube-aggregator.": "kube-aggregator@v0.34.*/",
}
KEPT = {
    "x-kubernetes-list-type": "list_type",
    "x-kubernetes-map-type": "map_type",
    "x-kubernetes-patch-strategy": "patch_strategy",
    "x-kubernetes-patch-merge-key": "patch_key",
    "format": "format",
    "enum": "enum",
}


def compact(schema: Any) -> Any:
    """The facts of a schema."""
    made: Any = {}
    reference = schema.get("$ref") or next((part.get("$ref") for part in schema.get("allOf", ())), None)
    if reference:
        made["ref"] = PREFIX.sub("", reference)
    elif "type" in schema:
        made["type"] = schema["type"]
    if "properties" in schema:
        made["properties"] = {name: compact(value) for name, value in schema["properties"].items()}
    if schema.get("required"):
        made["required"] = schema["required"]
    for name, ours in KEPT.items():
        if name in schema:
            made[ours] = schema[name]
    if "x-kubernetes-list-map-keys" in schema:
        made["list_keys"] = schema["x-kubernetes-list-map-keys"]
    if "items" in schema:
        made["items"] = compact(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        made["values"] = compact(schema["additionalProperties"])
    if "default" in schema:
        made["default"] = schema["default"]
    if "x-kubernetes-group-version-kind" in schema:
        found = schema["x-kubernetes-group-version-kind"]
        made["kinds"] = [[kind["group"], kind["version"], kind["kind"]] for kind in found]
    return made


def definitions(server: Server) -> dict[str, Any]:
    """All definitions, by name."""
    found: dict[str, Any] = {}
    second = server.get("/openapi/v2")["definitions"]
    for place in sorted(server.get("/openapi/v3")["paths"].items()):
        document = server.get(place[1]["serverRelativeURL"])
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            found.setdefault(name, compact(schema))
    for name, schema in second.items():
        made = found.setdefault(name, compact(schema))
        if "x-kubernetes-unions" in schema:
            made["unions"] = schema["x-kubernetes-unions"]
        if "type" in schema and "type" not in made and "ref" not in made:
            made["type"] = schema["type"]
        for field, value in compact(schema).get("properties", {}).items():
            for key, fact in value.items():
                made["properties"].setdefault(field, {}).setdefault(key, fact)
    return dict(sorted(found.items()))


def kinds(server: Server) -> list[Any]:
    """All resources of all versions, in the server's order."""
    found: list[Any] = []
    groups = server.get("/api", AGGREGATED)["items"] + server.get("/apis", AGGREGATED)["items"]
    for group in groups:
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            root = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
            plain = {entry["name"]: entry for entry in server.get(root)["resources"]}
            for resource in version["resources"]:
                entry = {
                    "group": name,
                    "version": version["version"],
                    "plural": resource["resource"],
                    "kind": resource["responseKind"]["kind"],
                    "namespaced": resource["scope"] == "Namespaced",
                    "singular": resource["singularResource"],
                    "verbs": resource["verbs"],
                    "short_names": resource.get("shortNames", []),
                    "categories": resource.get("categories", []),
                    "subresources": [
                        {
                            "name": sub["subresource"],
                            "group": sub["responseKind"]["group"],
                            "version": sub["responseKind"]["version"],
                            "kind": sub["responseKind"]["kind"],
                            "verbs": sub["verbs"],
                        }
                        for sub in resource.get("subresources", [])
                    ],
                }
                listed = plain.get(resource["resource"], {})
                if listed.get("storageVersionHash"):
                    entry["storage_hash"] = listed["storageVersionHash"]
                found.append(entry)
    return found


def columns(server: Server, resources: list[Any]) -> dict[str, Any]:
    """The columns of the tables of each kind: name, type, format, priority."""
    found: dict[str, Any] = {}
    for kind in resources:
        if "list" in kind["verbs"]:
            root = f"/apis/{kind['group']}/{kind['version']}" if kind["group"] else f"/api/{kind['version']}"
            table = server.get(f"{root}/{kind['plural']}?limit=1", "application/json;as=Table;v=v1;g=meta.k8s.io")
            names = ("name", "type", "format", "priority")
            listed = [[column[name] for name in names] for column in table["columnDefinitions"]]
            found[f"{kind['group'] or 'core'}/{kind['kind']}"] = listed
    return found


def main() -> None:
    kubeconfig, modules, output = map(Path, sys.argv[1:4])
    server = Server(kubeconfig)
    schemas = definitions(server)
    with_go_facts(schemas, modules)
    write(output / "definitions.json", schemas)
    found = kinds(server)
    write(output / "kinds.json", found)
    write(output / "columns.json", columns(server, found))


def with_go_facts(schemas: dict[str, Any], modules: Path) -> None:
    """Adds the order of fields, the Go names of their types, and which of them are left out when they are zero."""
    sources: dict[str, dict[str, Any]] = {}
    for name, schema in schemas.items():
        prefix = next((prefix for prefix in GO_PLACES if name.startswith(prefix)), None)
        if prefix is None or "properties" not in schema:
            continue
        package, _, struct = name[len(prefix) :].rpartition(".")
        folder = package.replace(".", "/")
        if folder not in sources:
            root = next(iter(modules.glob(GO_PLACES[prefix])))
            sources[folder] = structs(root / folder)
        fields = sources[folder].get(struct)
        if fields is None:
            print("no source of", name)
            continue
        order = [field for field in flat(sources[folder], fields) if field[0] in schema["properties"]]
        missing = schema["properties"].keys() - {field[0] for field in order}
        if missing - {"apiVersion", "kind", "metadata"}:
            print("fields without source", name, missing)
        head = [field for field in ("kind", "apiVersion", "metadata") if field in missing]
        properties = {field: schema["properties"][field] for field in head}
        for field, go_type, omitted in order:
            entry = schema["properties"][field]
            if go_type.startswith("*"):
                entry["pointer"] = True
            if not omitted:
                entry["kept"] = True
            name_scalar(entry, go_type.lstrip("*"), folder.rpartition("/")[2])
            properties[field] = entry
        schema["properties"] = properties


PLAIN = ("string", "bool", "int32", "int64", "float64", "byte")


def name_scalar(entry: Any, go_type: str, package: str) -> None:
    """Adds the server's name of a scalar type that has one of its own."""
    if go_type.startswith("[]") and entry.get("type") == "array":
        name_scalar(entry["items"], go_type[2:].lstrip("*"), package)
    elif entry.get("type") in ("string", "integer") and re.fullmatch(r"[\w.]+", go_type) and go_type not in PLAIN:
        entry["go"] = go_type if "." in go_type else f"{package}.{go_type}"


def structs(folder: Path) -> dict[str, Any]:
    """The fields of the Go structures of a package."""
    found: dict[str, Any] = {}
    for source in sorted(folder.glob("*.go")):
        if source.name.startswith("zz_") or source.name == "generated.pb.go" or source.name.endswith("_test.go"):
            continue
        for match in re.finditer(r"^type (\w+) struct \{\n(.*?)^\}", source.read_text(), re.M | re.S):
            fields: list[Any] = []
            for line in match[2].splitlines():
                if field := FIELD.match(line):
                    tag = re.search(r'json:"([^"]*)"', field[3])
                    if tag is None:
                        continue
                    name, _, options = tag[1].partition(",")
                    # Without omitzero a time that is not set is written as null.
                    zero = "omitempty" in options and not re.fullmatch(r"(\w+\.)?(Micro)?Time", field[2])
                    fields.append((name, field[2], zero or "omitzero" in options, "inline" in options))
            found[match[1]] = fields
    return found


def flat(package: dict[str, Any], fields: Any) -> Any:
    """The fields with those of embedded structures of the same package in their places."""
    made: list[Any] = []
    for name, go_type, omitted, inline in fields:
        if inline and not name:
            made += flat(package, package.get(go_type.rpartition(".")[2], []))
        elif name and name != "-":
            made.append((name, go_type, omitted))
    return made


def write(path: Path, value: Any) -> None:
    lines: list[str] = []
    if isinstance(value, dict):
        for name, entry in cast("dict[str, Any]", value).items():
            lines.append(json.dumps(name) + ":" + json.dumps(entry, separators=(",", ":")))
        text = "{\n" + ",\n".join(lines) + "\n}\n"
    else:
        text = "[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in value) + "\n]\n"
    path.write_text(text)


if __name__ == "__main__":
    main()
