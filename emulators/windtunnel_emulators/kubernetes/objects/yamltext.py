"""YAML as the Kubernetes API reads it: the schema of YAML 1.1 without dates, keys as texts, repeated keys noticed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import yaml

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json


_MOST_VALUES = 1_000_000


class YamlError(ValueError):
    """A text that is no YAML."""


class _Loader(yaml.SafeLoader):
    """Dates stay texts, single letters are truths too, keys are texts."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.repeated: list[str] = []

    def mapping(self, node: yaml.MappingNode) -> dict[object, object]:
        self.flatten_mapping(node)
        made: dict[object, object] = {}
        for key_node, value_node in node.value:
            key = _key(self._value(key_node))
            if key in made:
                self.repeated.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
                continue
            made[key] = self._value(value_node)
        return made

    def _value(self, node: yaml.Node) -> object:
        return cast("object", self.construct_object(node, deep=True))  # pyright: ignore[reportUnknownMemberType]


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# YAML 1.1 has them, the server's reader has them, PyYAML leaves them out.
for _letter_of in "yYnN":
    _Loader.yaml_implicit_resolvers.setdefault(_letter_of, []).insert(0, ("tag:windtunnel,letter", re.compile("^.$")))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[object, object]:
    return loader.mapping(node)


def _letter(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return str(node.value) in "yY"


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:windtunnel,letter", _letter)


def _check_size(value: Json, sizes: dict[int, int]) -> int:
    """How many values there are once every alias is written out. Raises ``YamlError``."""
    if not isinstance(value, (dict, list)):
        return 1
    known = sizes.get(id(value))
    if known is not None:
        if known == 0:
            raise YamlError("yaml: anchor value contains itself")
        return known
    sizes[id(value)] = 0
    inner = value.values() if isinstance(value, dict) else value
    total = 1 + sum(_check_size(item, sizes) for item in inner)
    if total > _MOST_VALUES:
        raise YamlError("yaml: document contains excessive aliasing")
    sizes[id(value)] = total
    return total


def _key(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "" if key is None else str(key)


def load(raw: bytes) -> tuple[Json, list[str]]:
    """The value, and what is said of keys that are there twice. Raises ``YamlError``."""
    try:
        loader = _Loader(raw.decode())
    except (UnicodeDecodeError, yaml.YAMLError) as problem:
        raise YamlError(f"yaml: {problem}") from problem
    try:
        found = cast("Json", loader.get_single_data())
        _check_size(found, {})
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        what = getattr(problem, "problem", None) or str(problem)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise YamlError(f"yaml: {line}{what}") from problem
    except YamlError:
        raise
    except (RecursionError, ValueError) as problem:
        raise YamlError(f"yaml: {problem}") from problem
    finally:
        loader.dispose()
    return found, loader.repeated
