"""What the client must remember of a service: its keys, and the spec that it was deployed from.

Azure never gives a secure environment variable back, so the keys of a service are kept here: one file per cloud,
subscription, resource group and service, readable by its owner only. On another machine ``keys`` says so, and
``keys regenerate`` makes new ones. The spec is what ``promote`` deploys again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from windtunnel.aks_options import AksOptions
from windtunnel.edge_options import EdgeOptions
from windtunnel.errors import WindtunnelError
from windtunnel.interface import Keys
from windtunnel.jsontypes import Json, JsonObject, as_object, as_str
from windtunnel.spec import AciOptions, FpgaOptions, Script, Spec, Target, Tls

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a service serves TLS with."""

    certificate: str
    key: str = field(repr=False)
    cname: str

    @classmethod
    def read(cls, tls: Tls) -> Certificate:
        """From the user's files."""
        return cls(certificate=tls.certificate.read_text("utf-8"), key=tls.key.read_text("utf-8"), cname=tls.cname)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One service."""

    spec: JsonObject
    """As ``spec_to_json`` writes it."""
    context_digest: str
    image: str
    keys: Keys | None = None
    certificate: Certificate | None = None


class Records:
    """A folder of records, for one resource group of one cloud."""

    def __init__(self, folder: Path | None, *, cloud: str, subscription: str, group: str) -> None:
        """``folder`` None keeps nothing: what is saved is forgotten with this object."""
        self._memory: dict[str, Record] = {}
        if folder is None:
            self._folder = None
            return
        # A URL is no folder name; its digest is one, and the host keeps it readable.
        host = cloud.split("//")[-1].replace(":", "_")
        key = hashlib.sha256(f"{cloud}|{subscription}|{group}".lower().encode()).hexdigest()[:12]
        self._folder = folder / "services" / f"{host}-{key}"

    def load(self, target: Target, name: str) -> Record | None:
        """None when this machine knows nothing of the service. Raises ``WindtunnelError`` for a damaged file."""
        if self._folder is None:
            return self._memory.get(f"{target}-{name}")
        path = self._folder / f"{target}-{name}.json"
        try:
            content = json.loads(path.read_text("utf-8"))
            return _record(content)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise WindtunnelError(
                f"the record of service {name!r} is damaged: {path} ({error})",
                way_out="Remove the file; `windtunnel keys regenerate` makes new keys.",
            ) from error

    def save(self, target: Target, name: str, record: Record) -> None:
        """Written whole or not at all, and for the owner's eyes only."""
        if self._folder is None:
            self._memory[f"{target}-{name}"] = record
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content: JsonObject = {"spec": record.spec, "contextDigest": record.context_digest, "image": record.image}
        if record.keys is not None:
            content["keys"] = {"primary": record.keys.primary, "secondary": record.keys.secondary}
        if record.certificate is not None:
            c = record.certificate
            content["certificate"] = {"certificate": c.certificate, "key": c.key, "cname": c.cname}
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            Path(temporary).replace(self._folder / f"{target}-{name}.json")
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
            raise

    def remove(self, target: Target, name: str) -> None:
        """Safe when there is none."""
        if self._folder is None:
            self._memory.pop(f"{target}-{name}", None)
        else:
            (self._folder / f"{target}-{name}.json").unlink(missing_ok=True)


def _record(content: Json) -> Record:
    record = as_object(content)
    if not {"spec", "contextDigest", "image"} <= record.keys():
        raise ValueError("a part of it is missing")
    keys, certificate = as_object(record.get("keys")), as_object(record.get("certificate"))
    return Record(
        spec=as_object(record["spec"]),
        context_digest=as_str(record["contextDigest"]),
        image=as_str(record["image"]),
        keys=Keys(primary=as_str(keys["primary"]), secondary=as_str(keys["secondary"])) if keys else None,
        certificate=Certificate(
            certificate=as_str(certificate["certificate"]),
            key=as_str(certificate["key"]),
            cname=as_str(certificate["cname"]),
        )
        if certificate
        else None,
    )


def spec_to_json(spec: Spec) -> JsonObject:
    """Without secrets: keys and certificates are kept beside it, not in it."""
    out: JsonObject = {
        "name": spec.name,
        "model": str(spec.model.absolute()),
        "target": spec.target.value,
        "modelName": spec.model_name,
        "authEnabled": spec.auth_enabled,
        "environment": dict(spec.environment),
        "tags": dict(spec.tags),
        "aci": {
            "cpu": spec.aci.cpu,
            "memoryGb": spec.aci.memory_gb,
            "port": spec.aci.port,
            "dnsNameLabel": spec.aci.dns_name_label,
        },
    }
    if spec.target is Target.FPGA:
        out["fpga"] = {"replicas": spec.fpga.replicas, "cpu": spec.fpga.cpu, "memoryGb": spec.fpga.memory_gb}
    if spec.target is Target.AKS:
        out["aks"] = asdict(spec.aks)
        out |= {"autoscale": spec.autoscale, "appInsights": spec.app_insights}
        out["collectModelData"] = spec.collect_model_data
    if spec.target is Target.IOT_EDGE:
        edge = spec.edge
        plain = replace(
            edge,
            routes=dict(edge.routes),
            modules=dict(edge.modules),
            variables={name: dict(values) for name, values in edge.variables.items()},
        )
        out["edge"] = cast("JsonObject", asdict(plain))
    if spec.script is not None:
        requirements = spec.script.requirements
        out["script"] = {
            "entry": str(spec.script.entry.absolute()),
            "requirements": None if requirements is None else str(requirements.absolute()),
        }
    if spec.tls is not None:
        out["tls"] = {
            "certificate": str(spec.tls.certificate.absolute()),
            "key": str(spec.tls.key.absolute()),
            "cname": spec.tls.cname,
        }
    return out


def spec_from_json(content: Mapping[str, Json]) -> Spec:
    """The spec that ``spec_to_json`` wrote; its location is left to the profile that it is deployed with."""
    aci, script, tls = as_object(content["aci"]), as_object(content.get("script")), as_object(content.get("tls"))
    requirements = script.get("requirements")
    port, cpu, memory = aci.get("port"), aci.get("cpu"), aci.get("memoryGb")
    options = AciOptions(
        cpu=float(cpu) if isinstance(cpu, int | float) else AciOptions().cpu,
        memory_gb=float(memory) if isinstance(memory, int | float) else AciOptions().memory_gb,
        port=port if isinstance(port, int) else None,
    )
    label, model_name = aci.get("dnsNameLabel"), content.get("modelName")
    spec = Spec(
        name=as_str(content["name"]),
        model=Path(as_str(content["model"])),
        target=Target(as_str(content["target"])),
        model_name=model_name if isinstance(model_name, str) else None,
        auth_enabled=_switch(content.get("authEnabled")),
        environment={k: as_str(v) for k, v in as_object(content.get("environment")).items()},
        tags={k: as_str(v) for k, v in as_object(content.get("tags")).items()},
        aci=replace(options, dns_name_label=label) if isinstance(label, str) else options,
        fpga=_fpga(as_object(content.get("fpga"))),
        aks=_aks(as_object(content.get("aks"))),
        edge=_edge(as_object(content.get("edge"))),
        autoscale=content.get("autoscale") is True,
        app_insights=content.get("appInsights") is True,
        collect_model_data=content.get("collectModelData") is True,
        script=Script(
            entry=Path(as_str(script["entry"])),
            requirements=Path(requirements) if isinstance(requirements, str) else None,
        )
        if script
        else None,
        tls=Tls(certificate=Path(as_str(tls["certificate"])), key=Path(as_str(tls["key"])), cname=as_str(tls["cname"]))
        if tls
        else None,
    )
    return spec


def _switch(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _aks(content: JsonObject) -> AksOptions:
    """Names that this version does not know are left out."""
    known = {f.name for f in fields(AksOptions)}
    given = {key: value for key, value in content.items() if key in known and value is not None}
    return AksOptions(**given)  # type: ignore[arg-type]  # as asdict wrote them


def _edge(content: JsonObject) -> EdgeOptions:
    text = {key: as_str(content.get(key)) or None for key in ("hub", "device", "source", "create_options")}
    return EdgeOptions(
        **text,
        routes={key: as_str(value) for key, value in as_object(content.get("routes")).items()},
        modules={key: as_str(value) for key, value in as_object(content.get("modules")).items()},
        variables={
            module: {key: as_str(value) for key, value in as_object(values).items()}
            for module, values in as_object(content.get("variables")).items()
        },
    )


def _fpga(content: JsonObject) -> FpgaOptions:
    numbers = {key: value for key, value in content.items() if isinstance(value, int | float)}
    default = FpgaOptions()
    return FpgaOptions(
        replicas=int(numbers.get("replicas", default.replicas)),
        cpu=float(numbers.get("cpu", default.cpu)),
        memory_gb=float(numbers.get("memoryGb", default.memory_gb)),
    )
