"""Builds an image from a context and its Dockerfile, without Docker, into a registry's content.

Each instruction that changes files makes a layer, as Docker does; what they hold depends on the context, the build
arguments and the packages that are installed, and on nothing else, so that equal builds have equal digests.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Limits
from windtunnel_emulators.images.bases import ANNOTATION, EMPTY, SCRATCH, find_base, note_on
from windtunnel_emulators.images.context import read_context
from windtunnel_emulators.images.dockerfile import parse
from windtunnel_emulators.images.errors import WAY_OUT, BuildError, DockerfileError, ImageProblem
from windtunnel_emulators.images.instructions import Arg, Dockerfile, From, Instruction, render
from windtunnel_emulators.images.oci import (
    CONFIG_MEDIA_TYPE,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    architecture,
    write_manifest,
)
from windtunnel_emulators.images.parents import stage_from_parent
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.images.running import Runner
from windtunnel_emulators.images.stage import Stage
from windtunnel_emulators.images.steps import Steps
from windtunnel_emulators.images.threads import in_thread
from windtunnel_emulators.images.variables import BuildArguments
from windtunnel_emulators.images.words import expand
from windtunnel_emulators.registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel_emulators.images.environments import Environments
    from windtunnel_emulators.registry.content import Content

LIMITS = Limits(entries=100_000, size=16 << 30)
"""Of a build context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """An image that was built, and pushed under the names that were asked for."""

    digest: str
    """Of the manifest."""
    config_digest: str
    """The image's id, as Docker calls it."""
    base: str
    """The image that the last stage starts from, as its FROM says."""


async def build(
    *,
    context: Path,
    dockerfile: str,
    images: Sequence[str],
    arguments: Mapping[str, str],
    log: Callable[[str], None],
    content: Content,
    registry: str,
    environments: Environments,
    work: Path,
    servers: Sequence[str] = (),
    target: str | None = None,
    cache: bool = True,
    limits: Limits = LIMITS,
) -> BuildResult:
    """Build ``context`` (tar, tar.gz) with the Dockerfile at this path in it and push it as ``images`` (repo:tag).

    ``servers`` are the names that the registry answers to, its login server first, for FROM; ``target`` is the stage
    to stop after; without ``cache``, pip chooses anew what an equal install came to before. Raises ``BuildError``,
    whose sentence is the last line of the log. Leaves nothing in ``work``, cancelled or not.
    """
    stop = threading.Event()
    try:
        with tempfile.TemporaryDirectory(dir=work, prefix="build-") as folder:
            scratch = Path(folder)
            read = await in_thread(stop, read_context, context, dockerfile, scratch, limits, stop=stop.is_set)
            file = parse(read.dockerfile)
            log(f"Build context: {len(read.tree):,} files and directories, {context.stat().st_size:,} bytes received")
            given = BuildArguments(arguments)
            steps = Steps(
                context=read.tree,
                runner=Runner(environments, scratch, log, stop, cache=cache),
                arguments=given,
                scratch=scratch,
                limits=limits,
                stop=stop,
                escape=file.escape,
            )
            builder = _Builder(file, steps, log, content, registry, tuple(servers))
            stage = await builder.run(target)
            if given.unused:
                log(f"[Warning] One or more build-args {given.unused} were not consumed")
            return await builder.push(stage, images)
    except (ImageProblem, OSError) as error:
        sentence = str(error) if isinstance(error, ImageProblem) else f"the build could not be carried out: {error}"
        log(sentence)
        raise error if isinstance(error, BuildError) else BuildError(sentence) from error


class _Builder:
    """One build, from its parsed file to its manifest."""

    def __init__(
        self,
        file: Dockerfile,
        steps: Steps,
        log: Callable[[str], None],
        content: Content,
        registry: str,
        servers: tuple[str, ...],
    ) -> None:
        self._file = file
        self._steps = steps
        self._log = log
        self._content = content
        self._registry = registry
        self._servers = servers
        self._bases: dict[int, str] = {}
        try:
            self._time = steps.arguments.time or 0
        except ValueError as error:
            raise BuildError(str(error)) from error

    async def run(self, target: str | None) -> Stage:
        """Carry out the instructions, to the end of the stage ``target``."""
        instructions = self._file.instructions
        last = self._last_step(target)
        stage: Stage | None = None
        for number, instruction in enumerate(instructions[:last], start=1):
            self._log(f"Step {number}/{last} : {instruction.source}")
            try:
                stage = await self._step(stage, instruction)
            except (DockerfileError, BuildError):
                raise
            except ImageProblem as error:
                raise BuildError(f"Dockerfile line {instruction.line} ({instruction.source}): {error}") from error
        assert stage is not None
        return stage

    async def _step(self, stage: Stage | None, instruction: Instruction) -> Stage | None:
        if isinstance(instruction, From):
            if stage is not None:
                self._steps.stages.append(stage)
            return await self._begin(instruction)
        if stage is None:
            assert isinstance(instruction, Arg)  # the parser has seen to it
            for name, default in instruction.items:
                self._steps.arguments.declare_global(name, None if default is None else self._expand(default))
            return None
        layer = await self._steps.carry_out(stage, instruction)
        self._log(f" ---> {_short(stage.record(render(instruction, self._file.escape), layer))}")
        return stage

    async def _begin(self, instruction: From) -> Stage:
        """A stage on an earlier one, on an image of the registry, on a known base or on nothing."""
        image = self._expand(instruction.image)
        self._check_platform(instruction)
        number = len(self._steps.stages)
        self._bases[number] = image
        for index, earlier in enumerate(self._steps.stages):
            if image.lower() == earlier.name:
                stage = earlier.derive(instruction.alias)
                self._bases[number] = self._bases[index]
                break
        else:
            stage = await self._from_image(image, instruction.alias, number)
        stage.arguments |= self._steps.arguments.predefined
        return stage

    async def _from_image(self, image: str, alias: str | None, number: int) -> Stage:
        if image == SCRATCH:
            self._log(" ---> nothing")
            return Stage.on_base(alias, EMPTY, self._time)
        reference = Reference.parse(image)
        if reference.domain in self._servers:
            stage = await stage_from_parent(
                self._content,
                self._registry,
                reference,
                name=alias,
                time=self._time,
                scratch=self._steps.scratch / f"parent-{number}",
                limits=self._steps.limits,
                stop=self._steps.stop,
            )
            self._log(f" ---> {_short(stage.id)}")
            return stage
        base = find_base(reference)
        self._log(f" ---> {reference.familiar}: {base.promise}")
        note = note_on(reference)
        if note:
            self._log(f"[Note] {note}")
        return Stage.on_base(alias, base, self._time)

    def _check_platform(self, instruction: From) -> None:
        wanted = self._expand(instruction.platform) if instruction.platform else ""
        if wanted and wanted.split("/")[:2] != ["linux", architecture()]:
            raise DockerfileError(
                f"FROM --platform={wanted} asks for another platform than this machine's linux/{architecture()};"
                f" leave it out, or {WAY_OUT}",
                line=instruction.line,
            )

    def _last_step(self, target: str | None) -> int:
        """How many instructions are carried out."""
        instructions = self._file.instructions
        if not target:
            return len(instructions)
        starts = [index for index, one in enumerate(instructions) if isinstance(one, From)]
        names = [one.alias for one in instructions if isinstance(one, From)]
        for number, name in enumerate(names):
            if target.lower() == name or target == str(number):
                return [*starts, len(instructions)][number + 1]
        named = ", ".join(name for name in names if name) or "none with a name"
        raise BuildError(f"the Dockerfile has no stage {target!r} to stop after; it has {named}")

    def _expand(self, word: str) -> str:
        return expand(word, self._steps.arguments.global_value, self._file.escape)

    async def push(self, stage: Stage, images: Sequence[str]) -> BuildResult:
        """Put the image into the registry under all its names."""
        config = stage.config_document()
        descriptor = Descriptor(digest=_digest(config), size=len(config), media_type=CONFIG_MEDIA_TYPE)
        manifest = write_manifest(
            descriptor, [layer.descriptor for layer in stage.layers], {ANNOTATION: stage.base.name}
        )
        self._log(f"Successfully built {_short(descriptor.digest)}")
        names = [(repository, tag) for repository, _, tag in (image.rpartition(":") for image in images)]
        try:
            await self._push_blobs(stage, config, sorted({repository for repository, _ in names}))
            for repository, tag in names:
                self._content.put_manifest(self._registry, repository, tag, MANIFEST_MEDIA_TYPE, manifest)
                self._log(f"Successfully tagged {'/'.join([*self._servers[:1], repository])}:{tag}")
        except RegistryError as error:
            raise BuildError(f"the image was built, and could not be pushed: {error.message}") from error
        base = self._bases[len(self._steps.stages)]
        return BuildResult(digest=_digest(manifest), config_digest=descriptor.digest, base=base)

    async def _push_blobs(self, stage: Stage, config: bytes, repositories: Sequence[str]) -> None:
        if not repositories:
            return
        for layer in stage.layers:
            if layer.made is not None:
                await self._content.store_blob(layer.made.file)
            for repository in repositories:
                self._content.link(self._registry, repository, layer.descriptor.digest)
        await self._content.store_blob(config)
        for repository in repositories:
            self._content.link(self._registry, repository, _digest(config))


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]
