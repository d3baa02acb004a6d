"""One stage of a build: its file system, its configuration, its layers and variables, as they grow."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Kind, clean_path
from windtunnel_emulators.images.copying import CopyProblem
from windtunnel_emulators.images.oci import Descriptor, ImageConfig, timestamp, write_config
from windtunnel_emulators.images.tree import Node, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.images.bases import Base
    from windtunnel_emulators.images.layers import Layer
    from windtunnel_emulators.images.resolution import Pin
    from windtunnel_emulators.jsontypes import JsonObject

_LARGEST_NAMES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLayer:
    """A layer of the stage; ``made`` is None for one of the image that it starts from."""

    descriptor: Descriptor
    diff_id: str
    made: Layer | None = None


@dataclass(slots=True, kw_only=True)
class Stage:
    """Starts as its base is."""

    name: str | None
    base: Base
    time: int
    tree: Tree = field(default_factory=Tree)
    config: ImageConfig = field(default_factory=ImageConfig)
    layers: list[StageLayer] = field(default_factory=list[StageLayer])
    history: list[JsonObject] = field(default_factory=list["JsonObject"])
    pins: tuple[Pin, ...] = ()
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    """ARG in effect."""
    has_command: bool = False
    """Whether CMD was given in this stage, and not by its base."""

    @classmethod
    def on_base(cls, name: str | None, base: Base, time: int) -> Stage:
        """A stage that starts from a base image."""
        stage = cls(name=name, base=base, time=time, tree=base_tree(base))
        stage.config = ImageConfig(environment=base.environment, command=base.command)
        return stage

    def derive(self, name: str | None) -> Stage:
        """A stage that starts from this one."""
        return replace(
            self,
            name=name,
            tree=self.tree.copy(),
            layers=list(self.layers),
            history=list(self.history),
            arguments={},
            has_command=False,
        )

    def lookup(self, name: str) -> str | None:
        """A variable: ENV wins over ARG."""
        value = self.config.environment.get(name)
        return self.arguments.get(name) if value is None else value

    def variables(self) -> Mapping[str, str]:
        return {**self.arguments, **self.config.environment}

    def path(self, written: str) -> str:
        """A path of the image as it was written, from the working directory on: absolute, without ``..``.

        Raises ``ArchiveError`` for one that no file system takes.
        """
        whole = posixpath.normpath(posixpath.join(self.config.working_directory or "/", written)).lstrip("/")
        return f"/{clean_path(whole, what='the image cannot have the path')}"

    def record(self, text: str, layer: Layer | None = None) -> str:
        """Add a step to the history, and its layer; returns the id of the image so far."""
        entry: JsonObject = {"created": timestamp(self.time), "created_by": text}
        if layer is None:
            entry["empty_layer"] = True
        else:
            descriptor = Descriptor(digest=layer.digest, size=layer.size)
            self.layers.append(StageLayer(descriptor=descriptor, diff_id=layer.diff_id, made=layer))
        self.history.append(entry)
        return self.id

    @property
    def id(self) -> str:
        """As Docker names an image: the digest of its configuration."""
        return f"sha256:{hashlib.sha256(self.config_document()).hexdigest()}"

    def config_document(self) -> bytes:
        diff_ids = [layer.diff_id for layer in self.layers]
        return write_config(self.config, history=self.history, diff_ids=diff_ids, time=self.time)

    def owner(self, text: str) -> tuple[int, int]:
        """``user[:group]`` as numbers; a user's own group when none is named. Raises ``CopyProblem``."""
        user, colon, group = text.partition(":")
        uid = self._number(user, "user", self.base.users, "etc/passwd")
        gid = self._number(group, "group", self.base.groups, "etc/group") if colon else uid
        return uid, gid

    def _number(self, name: str, what: str, known: Mapping[str, int], file: str) -> int:
        if name.isascii() and name.isdigit() and len(name) < 10:
            return int(name)
        node = self.tree.get(self.tree.resolve(file))
        if node is not None and node.content is not None:
            for line in node.content.read(_LARGEST_NAMES).decode("utf-8", "replace").splitlines():
                fields = line.split(":")
                if len(fields) > 2 and fields[0] == name and fields[2].isdigit():
                    return int(fields[2])
        elif name in known:
            return known[name]
        raise CopyProblem(f"the image has no {what} {name!r}; use a number")


def base_tree(base: Base) -> Tree:
    """The directories and links that a base has."""
    tree = Tree()
    for path, mode in base.directories.items():
        tree.add(path, Node(kind=Kind.DIRECTORY, mode=mode))
    for path, target in base.links.items():
        tree.add(path, Node(kind=Kind.SYMLINK, mode=0o777, target=target))
    return tree
