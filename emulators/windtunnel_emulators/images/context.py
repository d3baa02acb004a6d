"""A build's context: the tar archive that was uploaded, as a file system without what its .dockerignore names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Kind, Limits, clean_path, entries, plain
from windtunnel_emulators.images.errors import ArchiveError, BuildError
from windtunnel_emulators.images.patterns import Ignore, PatternError
from windtunnel_emulators.images.slices import never
from windtunnel_emulators.images.tree import DIRECTORY, Tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LARGEST_TEXT = 4 << 20


class Context:
    """What COPY and ADD may take, and the Dockerfile."""

    def __init__(self, tree: Tree, dockerfile: str) -> None:
        self.tree = tree
        self.dockerfile = dockerfile


def read_context(
    archive: Path, dockerfile: str, scratch: Path, limits: Limits, *, stop: Callable[[], bool] = never
) -> Context:
    """Read the archive; ``scratch`` is a folder for what has to be decompressed, needed as long as the context is.

    Raises ``BuildError``.
    """
    try:
        tree = Tree()
        tree.extend(entries(plain(archive, scratch / "context.tar", limits, stop=stop), limits))
        path = clean_path(dockerfile.removeprefix("./"), what="the Dockerfile's path is")
        text = _text(tree, path)
        if text is None:
            raise BuildError(f"the context has no Dockerfile at {dockerfile!r}; it has {_some_names(tree)}")
        ignore_text = _text(tree, f"{path}.dockerignore")
        ignore_text = _text(tree, ".dockerignore") if ignore_text is None else ignore_text
        return Context(tree if ignore_text is None else _without(tree, Ignore(ignore_text)), text)
    except (ArchiveError, PatternError) as error:
        raise BuildError(f"the context cannot be used: {error}") from error


def _without(tree: Tree, ignore: Ignore) -> Tree:
    kept = Tree()
    for path, node in tree.walk():
        if not ignore.excludes(path):
            # A directory that is left out comes back, as it was, for what a later line takes back from within.
            for parent in kept.add(path, node):
                kept.add(parent, tree.get(parent) or DIRECTORY)
    return kept


def _text(tree: Tree, path: str) -> str | None:
    node = tree.get(tree.resolve(path))
    if node is None or node.kind is not Kind.FILE or node.content is None:
        return None
    try:
        return node.content.read(_LARGEST_TEXT).decode()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{path} is not UTF-8 text") from error


def _some_names(tree: Tree) -> str:
    names = tree.names("")
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "nothing"
