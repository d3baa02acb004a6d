"""Images of a Docker engine: pulled from where they are, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ReferenceProblem
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.runtime.engine.client import EngineProblem
from windtunnel_emulators.runtime.interface import Image, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.runtime.engine.client import DockerApi, Engine
    from windtunnel_emulators.runtime.interface import Credentials
    from windtunnel_emulators.runtime.registry_images import Registries


class EngineImages:
    """Pulls; images of the emulated registries come from their own ports."""

    def __init__(self, engine: Engine, registries: Registries) -> None:
        self._engine = engine
        self._registries = registries

    async def pull(self, reference: str, credentials: tuple[Credentials, ...]) -> tuple[Image, str]:
        """The image, and the engine's id of it. Raises ``ImageError``."""
        try:
            wanted = Reference.parse(reference).with_default_tag()
        except ReferenceProblem as problem:
            raise ImageError(str(problem), denied=True) from problem
        emulated = self._registries.owns(reference)
        name = self._emulated(reference, credentials) if emulated else str(wanted)
        found = await self._pull(name, _auth(wanted.domain, name, credentials), reference, emulated=emulated)
        return _image(reference, name, found), as_str(found.get("Id"))

    def _emulated(self, reference: str, credentials: tuple[Credentials, ...]) -> str:
        """Where an image of an emulated registry is, if it is one that an engine can run."""
        from windtunnel_emulators.images.bases import ANNOTATION, SCRATCH

        fetched = self._registries.fetch(reference, credentials)
        base = as_str(as_object(fetched.manifest.get("annotations")).get(ANNOTATION))
        if base not in ("", SCRATCH):
            raise ImageError(
                f"image {reference!r} was built without Docker, so it lacks the files of its base {base}; build it"
                " again, now that the emulators run with --runtime docker",
                denied=False,
            )
        return self._registries.local_name(reference)

    async def _pull(self, name: str, auth: dict[str, str] | None, reference: str, *, emulated: bool) -> JsonObject:
        repository, tag = _parts(name)

        def work(api: DockerApi) -> JsonObject:
            # To the end, which frees the connection.
            lines = list(api.pull(repository, tag, stream=True, decode=True, auth_config=auth))
            for line in lines:
                if "error" in line:
                    raise EngineProblem(as_str(line.get("error")), 500)
            return api.inspect_image(name)

        try:
            return await self._engine.call(work)
        except EngineProblem as problem:
            if problem.status is None:
                raise ImageError(str(problem), denied=False) from problem
            here = None if emulated else await self._already_here(name)
            if here is not None:
                return here
            denied = problem.status in (401, 403, 404) or "denied" in str(problem) or "not found" in str(problem)
            raise ImageError(f"image {reference!r} cannot be pulled: {problem}", denied=denied) from problem

    async def _already_here(self, name: str) -> JsonObject | None:
        """An image that the engine has, for machines without a network."""
        try:
            return await self._engine.call(lambda api: api.inspect_image(name))
        except EngineProblem:
            return None


def _parts(name: str) -> tuple[str, str | None]:
    """Repository, and tag or digest, as the engine's API wants them."""
    head, at, digest = name.partition("@")
    if at:
        return head.rpartition(":")[0] if ":" in head.rpartition("/")[2] else head, digest
    repository, _, tag = head.rpartition(":")
    return repository, tag


def _auth(domain: str, name: str, credentials: Sequence[Credentials]) -> dict[str, str] | None:
    servers = {domain, name.partition("/")[0]}
    for given in credentials:
        if given.server.removeprefix("https://").rstrip("/") in servers:
            return {"username": given.username, "password": given.password}
    return None


def _image(reference: str, name: str, found: JsonObject) -> Image:
    config = as_object(found.get("Config"))
    digests = [text.partition("@")[2] for text in _strings(found.get("RepoDigests"))]
    pairs = (variable.partition("=") for variable in _strings(config.get("Env")))
    ports = (port.partition("/")[0] for port in as_object(config.get("ExposedPorts")))
    return Image(
        reference=reference,
        digest=digests[0] if digests else as_str(found.get("Id")),
        entrypoint=_strings(config.get("Entrypoint")),
        command=_strings(config.get("Cmd")),
        environment={variable: value for variable, _, value in pairs},
        working_directory=as_str(config.get("WorkingDir")) or "/",
        labels={label: as_str(value) for label, value in as_object(config.get("Labels")).items()},
        exposed_ports=tuple(sorted(int(port) for port in ports if port.isdigit())),
        complete=True,
    )


def _strings(value: Json) -> tuple[str, ...]:
    items: Iterable[Json] = as_list(value)
    return tuple(item for item in items if isinstance(item, str))
