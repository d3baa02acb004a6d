from __future__ import annotations

import pytest

from windtunnel_emulators.images.archive import Entry, Kind
from windtunnel_emulators.images.errors import ArchiveError
from windtunnel_emulators.images.tree import DIRECTORY, Node, Tree

FILE = Node(kind=Kind.FILE, mode=0o644)


def link(target: str) -> Node:
    return Node(kind=Kind.SYMLINK, target=target)


def entry(path: str, kind: Kind = Kind.FILE, target: str | None = None) -> Entry:
    return Entry(path=path, kind=kind, mode=0o644, uid=0, gid=0, target=target)


def tree(**nodes: Node) -> Tree:
    made = Tree()
    for path, node in nodes.items():
        made.add(path.replace("__", "/"), node)
    return made


def paths(made: Tree) -> list[str]:
    return [path for path, _ in made.walk()]


def test_adding_makes_the_directories_on_the_way() -> None:
    made = Tree()
    assert made.add("a/b/c", FILE) == ["a", "a/b"]
    assert made.add("a/b/d", FILE) == []
    assert paths(made) == ["a", "a/b", "a/b/c", "a/b/d"]
    assert (len(made), made.names("a/b"), "a/b/c" in made) == (4, ["c", "d"], True)


def test_a_directory_keeps_what_is_in_it_and_anything_else_replaces() -> None:
    made = tree(a__b=FILE)
    made.add("a", Node(kind=Kind.DIRECTORY, mode=0o700))
    assert paths(made) == ["a", "a/b"]
    made.add("a", FILE)
    assert paths(made) == ["a"]
    made.add("a", DIRECTORY)
    assert made.is_directory("a")


def test_nothing_goes_below_a_file() -> None:
    with pytest.raises(ArchiveError, match="cannot be put below 'a', which is no directory but a file"):
        tree(a=FILE).add("a/b/c", FILE)
    with pytest.raises(ArchiveError, match="root"):
        Tree().add("", FILE)


def test_removing_takes_everything_below() -> None:
    made = tree(a__b__c=FILE, a__d=FILE)
    made.remove("a/b")
    assert paths(made) == ["a", "a/d"]
    made.remove("missing")
    made.remove("")
    assert paths(made) == []


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("current/x", "opt/v2/x"),
        ("current/../x", "opt/x"),
        ("absolute/x", "opt/v2/x"),
        ("up/x", "x"),
        ("a/./b//c", "a/b/c"),
        ("../../x", "x"),
        ("chain", "opt/v2"),
        ("dangling/x", "nowhere/x"),
    ],
)
def test_links_are_followed_as_inside_a_container(path: str, place: str) -> None:
    made = tree(
        opt__v2__file=FILE,
        current=link("opt/v2"),
        absolute=link("/opt/v2"),
        up=link("../../.."),
        chain=link("current"),
        dangling=link("nowhere"),
    )
    assert made.resolve(path) == place


def test_links_that_go_round_in_circles_are_refused() -> None:
    with pytest.raises(ArchiveError, match="more than 40 symbolic links"):
        tree(a=link("b"), b=link("a")).resolve("a")


def test_a_layer_hides_only_what_lower_layers_have() -> None:
    made = tree(a__old=FILE, a__kept=FILE, b__c__d=FILE, b__e=FILE)
    made.apply_layer(
        [entry("b/new"), entry("a/.wh.old"), entry("b/.wh..wh..opq"), entry("a/fresh"), entry("a/.wh.fresh")]
    )
    assert paths(made) == ["a", "a/fresh", "a/kept", "b", "b/new"]


def test_a_layer_writes_through_links_of_lower_layers_and_replaces_links_at_the_end() -> None:
    made = tree(usr__lib__x=FILE, lib=link("usr/lib"), file=link("usr/lib/x"))
    made.apply_layer([entry("lib/y"), entry("file")])
    assert paths(made) == ["file", "lib", "usr", "usr/lib", "usr/lib/x", "usr/lib/y"]
    assert made.get("file") == FILE


def test_a_hard_link_is_what_it_links_to() -> None:
    made = Tree()
    made.extend([entry("a/b"), entry("c", Kind.HARDLINK, "a/b")])
    assert made.get("c") == made.get("a/b")


@pytest.mark.parametrize(
    "wrong", [entry("a", Kind.HARDLINK, "missing"), entry("x/.wh."), entry("x/.wh..."), entry("a", Kind.HARDLINK, "d")]
)
def test_a_layer_that_makes_no_sense_is_refused(wrong: Entry) -> None:
    with pytest.raises(ArchiveError):
        tree(d=DIRECTORY).apply_layer([wrong])
