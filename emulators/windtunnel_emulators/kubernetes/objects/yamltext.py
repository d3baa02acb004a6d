"""YAML as the Kubernetes API reads it: the schema of YAML 1.1 without dates, keys as texts, repeated keys noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import yaml

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json


class YamlError(ValueError):
    """A text that is no YAML."""


class _Loader(yaml.SafeLoader):
    """Dates stay texts."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        self.flatten_mapping(node)
        made: dict[object, object] = {}
        for key_node, value_node in node.value:
            key = _key(self.construct_object(key_node, deep=True))
            if key in made:
                self.repeated.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
                continue
            made[key] = self.construct_object(value_node, deep=True)
        return made


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[object, object]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


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
        found: object = loader.get_single_data()
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        what = getattr(problem, "problem", None) or str(problem)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise YamlError(f"yaml: {line}{what}") from problem
    except (RecursionError, ValueError) as problem:
        raise YamlError(f"yaml: {problem}") from problem
    finally:
        loader.dispose()
    return cast("Json", found), loader.repeated
