"""A file system of an image, in memory: paths to nodes, and where the content of files lies.

Links are followed as inside a container: never out of the root. Layers are applied as the OCI image specification
says ("Image Layer Filesystem Changeset"), whiteouts included.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Entry, Kind
from windtunnel_emulators.images.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from windtunnel_emulators.images.slices import Slice

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A file, a directory or a symbolic link."""

    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    content: Slice | None = None
    target: str | None = None


DIRECTORY = Node(kind=Kind.DIRECTORY)


class Tree:
    """Paths are clean, as ``archive.Entry.path``; "" is the root, which is always there."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"": DIRECTORY}
        self._names: dict[str, dict[str, None]] = {"": {}}

    def copy(self) -> Tree:
        """One that can be changed without changing this one."""
        other = Tree()
        other._nodes = dict(self._nodes)
        other._names = {path: dict(names) for path, names in self._names.items()}
        return other

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def __len__(self) -> int:
        return len(self._nodes) - 1

    def get(self, path: str) -> Node | None:
        """What is at the very path; links are not followed."""
        return self._nodes.get(path)

    def is_directory(self, path: str) -> bool:
        """Whether a directory is at the very path."""
        node = self._nodes.get(path)
        return node is not None and node.kind is Kind.DIRECTORY

    def names(self, path: str) -> list[str]:
        """What a directory holds, sorted; nothing for anything else."""
        return sorted(self._names.get(path, ()))

    def walk(self, path: str = "") -> Iterator[tuple[str, Node]]:
        """The path and everything below, each directory before what is in it, sorted; not the root itself."""
        pending = [path]
        while pending:
            current = pending.pop()
            if current:
                yield current, self._nodes[current]
            pending += [join(current, name) for name in reversed(self.names(current))]

    def add(self, path: str, node: Node) -> list[str]:
        """Put a node at the very path and return the directories that had to be made for it, outermost first.

        A directory keeps what is in it, anything else replaces what was there. Raises ``ArchiveError`` when the path
        goes through something that is no directory.
        """
        if not path:
            if node.kind is not Kind.DIRECTORY:
                raise ArchiveError("the root of the file system cannot be anything but a directory")
            self._nodes[""] = node
            return []
        made: list[str] = []
        for parent in () if self.is_directory(path.rpartition("/")[0]) else parents(path):
            found = self._nodes.get(parent)
            if found is None:
                self._put(parent, DIRECTORY)
                made.append(parent)
            elif found.kind is not Kind.DIRECTORY:
                raise ArchiveError(f"{path!r} cannot be put below {parent!r}, which is no directory but a {found.kind}")
        if not (node.kind is Kind.DIRECTORY and self.is_directory(path)):
            self.remove(path)
        self._put(path, node)
        return made

    def with_parents(self, paths: Iterable[str]) -> dict[str, Node]:
        """The nodes at these paths and at the directories on the way to them."""
        wanted = {one for path in paths for one in (*parents(path), path) if one}
        return {path: self._nodes[path] for path in sorted(wanted) if path in self._nodes}

    def remove(self, path: str) -> None:
        """Take away a path and everything below; nothing happens when it is not there."""
        if path not in self._nodes:
            return
        for below, _ in list(self.walk(path)):
            del self._nodes[below]
            self._names.pop(below, None)
        if path:
            parent, _, name = path.rpartition("/")
            del self._names[parent][name]
        else:
            self._names[""] = {}

    def resolve(self, path: str, *, follow: bool = True) -> str:
        """The path without links, as a process with this root finds it; what is not there is taken as it is.

        ``follow`` says whether a link at the end itself is followed. Raises ``ArchiveError`` for links that go round
        in circles.
        """
        done: list[str] = []
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del done[-1:]
                continue
            node = self._nodes.get("/".join([*done, part]))
            if node is None or node.target is None or not (follow or pending):
                done.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise ArchiveError(f"{path!r} leads through more than {_MOST_LINKS} symbolic links")
            if node.target.startswith("/"):
                done = []
            pending += node.target.split("/")[::-1]
        return "/".join(done)

    def place(self, path: str) -> str:
        """Where a new node for ``path`` goes: links on the way are followed, one at the end is replaced."""
        # Paths of nodes have no links in them, so there is nothing to follow below one that is a directory.
        return path if self.is_directory(path.rpartition("/")[0]) else self.resolve(path, follow=False)

    def apply_layer(self, entries: Iterable[Entry]) -> None:
        """Apply a layer; whiteouts take away what lower layers have, wherever they stand. Raises ``ArchiveError``."""
        additions: list[Entry] = []
        for entry in entries:
            parent, name = posixpath.split(entry.path)
            if name == OPAQUE:
                place = self.resolve(parent)
                for hidden in self.names(place):
                    self.remove(join(place, hidden))
            elif name.startswith(WHITEOUT):
                hidden = name.removeprefix(WHITEOUT)
                if hidden in {"", ".", ".."}:
                    raise ArchiveError(f"the layer has the whiteout {entry.path!r}, which hides nothing")
                self.remove(self.place(join(parent, hidden)))
            else:
                additions.append(entry)
        self.extend(additions)

    def extend(self, entries: Iterable[Entry]) -> None:
        """Add entries in their order; a hard link becomes what it links to. Raises ``ArchiveError``."""
        for entry in entries:
            node = Node(
                kind=entry.kind,
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                content=entry.content,
                target=entry.target,
            )
            if entry.kind is Kind.HARDLINK:
                linked = self._nodes.get(self.place(entry.target or ""))
                if linked is None or linked.kind is Kind.DIRECTORY:
                    raise ArchiveError(f"{entry.path!r} is a link to {entry.target!r}, which is no file before it")
                node = replace(linked)
            self.add(self.place(entry.path), node)

    def _put(self, path: str, node: Node) -> None:
        self._nodes[path] = node
        if node.kind is Kind.DIRECTORY:
            self._names.setdefault(path, {})
        parent, _, name = path.rpartition("/")
        self._names[parent][name] = None


def join(parent: str, name: str) -> str:
    """Of clean paths."""
    return f"{parent}/{name}" if parent else name


def parents(path: str) -> list[str]:
    """The directories on the way, outermost first, without the root."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
