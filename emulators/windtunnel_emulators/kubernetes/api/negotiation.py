"""What a client accepts: JSON or YAML, of whole objects, of their metadata alone, or as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from windtunnel_emulators.kubernetes.api.failures import not_acceptable

Shape: TypeAlias = Literal["object", "table", "metadata"]

JSON_TYPE = "application/json"
YAML_TYPE = "application/yaml"
PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"
ANSWERED = (JSON_TYPE, YAML_TYPE)
READ = (JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE)
_PRETTY_AGENTS = ("curl", "wget", "mozilla/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How an answer is written. Equal forms of one event are made once."""

    yaml: bool = False
    shape: Shape = "object"
    version: str = "v1"
    """Of ``meta.k8s.io``, for tables and metadata."""
    include: str = "Metadata"
    """Of a table: what stands beside the cells, ``None``, ``Metadata`` or ``Object``."""
    pretty: bool = False
    asked: str = ""
    """The parameters of the media type, which are repeated in the answer's."""

    @property
    def content_type(self) -> bytes:
        return ((YAML_TYPE if self.yaml else JSON_TYPE) + self.asked).encode()


WHOLE = Form()


def media_type(header: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case, and its parameters."""
    kind, _, rest = header.partition(";")
    parameters: dict[str, str] = {}
    for part in rest.split(";"):
        name, _, value = part.partition("=")
        if name.strip():
            parameters[name.strip().lower()] = value.strip().strip('"')
    return kind.strip().lower(), parameters


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    found = [media_type(clause) for clause in accept.split(",") if clause.strip()]

    def weight(clause: tuple[str, dict[str, str]]) -> float:
        try:
            return -float(clause[1].get("q", "1"))
        except ValueError:
            return -1.0

    return sorted(found, key=weight)


def negotiate(
    accept: str, *, listed: bool = False, shapes: bool = True, include: str = "", pretty: str = "", agent: str = ""
) -> Form:
    """The form of an answer; ``shapes`` says whether tables and metadata can be had, ``listed`` whether it is a list.

    Raises ``Failure`` 406.
    """
    nice = pretty not in ("", "0", "false") if pretty else agent.lower().startswith(_PRETTY_AGENTS)
    for kind, parameters in _clauses(accept) or [("*/*", dict[str, str]())]:
        if kind in ("*/*", "application/*", JSON_TYPE):
            yaml = False
        elif kind in (YAML_TYPE, "text/yaml", "application/x-yaml"):
            yaml = True
        else:
            continue
        wanted = parameters.get("as", "")
        if not wanted:
            return Form(yaml=yaml, pretty=nice)
        version = parameters.get("v", "")
        if not shapes or parameters.get("g") != "meta.k8s.io" or version not in ("v1", "v1beta1"):
            continue
        shape: Shape
        if wanted == "Table":
            shape = "table"
        elif wanted == ("PartialObjectMetadataList" if listed else "PartialObjectMetadata"):
            shape = "metadata"
        else:
            continue
        # The real server answers these as plain application/json.
        return Form(yaml=yaml, shape=shape, version=version, include=include or "Metadata", pretty=nice)
    raise not_acceptable(READ)
