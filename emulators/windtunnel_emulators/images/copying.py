"""COPY and ADD: which files of a context or a stage go where in an image, by Docker's rules.

Source: Dockerfile reference, "COPY" and "ADD". A directory gives what is in it, links in it stay links; several
sources, or a destination that ends with a slash or is a directory already, put files into the destination.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Kind
from windtunnel_emulators.images.errors import ImageProblem
from windtunnel_emulators.images.patterns import compile_glob, has_magic
from windtunnel_emulators.images.tree import join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.images.tree import Node, Tree

_MODE = re.compile(r"[0-7]{3,4}")


class CopyProblem(ImageProblem):
    """A copy that cannot be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """What is changed on the way; None keeps it."""

    owner: tuple[int, int] | None = None
    mode: int | None = None

    def on(self, node: Node) -> Node:
        uid, gid = self.owner or (node.uid, node.gid)
        mode = self.mode if self.mode is not None and node.kind is not Kind.SYMLINK else node.mode
        return replace(node, uid=uid, gid=gid, mode=mode & 0o1777)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One source, after patterns and links."""

    path: str
    node: Node
    name: str
    """What it is called where it is put into a directory."""


def parse_mode(text: str) -> int:
    """``--chmod``. Raises ``CopyProblem``."""
    if not _MODE.fullmatch(text):
        raise CopyProblem(f"the mode {text!r} is not three or four octal digits, as in 755")
    return int(text, 8)


def find_sources(tree: Tree, sources: Iterable[str], what: str) -> list[Found]:
    """What the sources name in ``tree``; each names something. Raises ``CopyProblem``; ``what`` is for the sentence."""
    found: list[Found] = []
    for source in sources:
        path = posixpath.normpath(source.lstrip("/") or ".")
        if path == ".." or path.startswith("../"):
            raise CopyProblem(f"the path {source!r} is outside of {what}")
        path = "" if path == "." else path
        if has_magic(path):
            pattern = compile_glob(path)
            matches = [candidate for candidate, _ in tree.walk() if pattern.fullmatch(candidate)]
        else:
            matches = [path]
        if not matches:
            raise CopyProblem(f"{source!r} is not in {what}")
        for match in matches:
            place = tree.resolve(match)
            node = tree.get(place)
            if node is None:
                raise CopyProblem(f"{match!r} is not in {what}, or a link to what is not")
            found.append(Found(path=place, node=node, name=posixpath.basename(match)))
    return found


def place_all(
    tree: Tree,
    found: list[Found],
    source_tree: Tree,
    destination: str,
    *,
    into_directory: bool,
    change: Ownership,
) -> dict[str, Node]:
    """Put what was found into ``tree`` and return everything that is new, by path.

    ``destination`` is clean; ``into_directory`` says that it was written as a directory. Raises ``CopyProblem`` and
    ``ArchiveError``.
    """
    if len(found) > 1 and not into_directory:
        raise CopyProblem("with more than one source, the destination must be a directory and end with a /")
    target = tree.resolve(destination)
    new: dict[str, Node] = {}
    for one in found:
        if one.node.kind is Kind.DIRECTORY:
            if target in tree and not tree.is_directory(target):
                raise CopyProblem(f"the directory {one.path!r} cannot be put at {target!r}, which is no directory")
            _put(tree, target, change.on(one.node), new, keep=True)
            for path, node in source_tree.walk(one.path):
                if path != one.path:
                    inner = path[len(one.path) + 1 :] if one.path else path
                    _put(tree, tree.place(join(target, inner)), change.on(node), new)
        else:
            inside = into_directory or tree.is_directory(target)
            _put(tree, tree.place(join(target, one.name)) if inside else target, change.on(one.node), new)
    return new


def put(tree: Tree, path: str, node: Node) -> dict[str, Node]:
    """Put one node at a clean path, links followed; returns everything that is new."""
    new: dict[str, Node] = {}
    _put(tree, tree.place(path), node, new)
    return new


def _put(tree: Tree, path: str, node: Node, new: dict[str, Node], *, keep: bool = False) -> None:
    """``keep`` leaves a directory that is there as it is."""
    if keep and tree.is_directory(path):
        return
    for parent in tree.add(path, node):
        made = tree.get(parent)
        if made is not None:
            new[parent] = made
    if path:
        new[path] = node
