"""What the loaded providers offer, found by namespace and type without case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from windtunnel_emulators.arm.provider import AnyAction, AnyProvider, AnyType, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A resource type with the provider and the service behind it."""

    provider: AnyProvider
    service: Service
    type: AnyType
    name: str
    """The full type, as in ``Microsoft.ContainerRegistry/registries/tasks``."""
    versions: frozenset[str]
    """Published api-versions in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A provider and its service."""

    provider: AnyProvider
    service: Service
    kinds: dict[tuple[str, ...], Kind] = field(default_factory=dict[tuple[str, ...], Kind])
    """By the words of the type in lower case."""

    @property
    def versions(self) -> tuple[str, ...]:
        """All api-versions that any of its types knows, newest last."""
        return tuple(sorted({v for kind in self.kinds.values() for v in kind.type.api_versions}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What the segments behind a namespace mean."""

    kind: Kind
    names: tuple[str, ...]
    """As many as the type has words; one less for a collection."""
    tail: tuple[str, ...]
    """What is left: an action."""

    @property
    def collection(self) -> bool:
        """Whether this is about all resources of the type and not about one."""
        return len(self.names) < self.kind.type.name.count("/") + 1


class Catalogue:
    """All providers of this process."""

    def __init__(self) -> None:
        self._loaded: dict[str, Loaded] = {}

    def add(self, provider: AnyProvider, service: Service) -> None:
        """Raises ``ValueError`` for a namespace that is there already: two folders claim it."""
        key = provider.namespace.lower()
        if key in self._loaded:
            raise ValueError(f"two providers claim the namespace {provider.namespace}")
        loaded = Loaded(provider=provider, service=service)
        for type_ in provider.types:
            loaded.kinds[tuple(type_.name.lower().split("/"))] = Kind(
                provider=provider,
                service=service,
                type=type_,
                name=f"{provider.namespace}/{type_.name}",
                versions=frozenset(v.lower() for v in type_.api_versions),
            )
        self._loaded[key] = loaded

    def __iter__(self) -> Iterator[Loaded]:
        return iter(self._loaded.values())

    def find(self, namespace: str) -> Loaded | None:
        """The provider of a namespace; None when there is none."""
        return self._loaded.get(namespace.lower())

    def kind(self, full_type: str) -> Kind | None:
        """A type by its full name; None when there is none."""
        namespace, *words = full_type.lower().split("/")
        loaded = self._loaded.get(namespace)
        return None if loaded is None else loaded.kinds.get(tuple(words))


def match(loaded: Loaded, rest: Sequence[str]) -> Match | None:
    """The longest type that the segments begin with; None when the first word is no type."""
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    found: Match | None = None
    for place in range(0, len(rest), 2):
        words = (*words, rest[place].lower())
        kind = loaded.kinds.get(words)
        if kind is None:
            break
        name = rest[place + 1 : place + 2]
        found = Match(kind=kind, names=(*names, *name), tail=tuple(rest[place + 2 :]))
        names = found.names
    return found


def action(actions: Iterable[AnyAction], method: str, tail: Sequence[str]) -> Called | None:
    """The action that a path below a resource, a type or a provider names."""
    wrong_method: Called | None = None
    for candidate in actions:
        parameters = _fits(candidate.path, tail)
        if parameters is None:
            continue
        called = Called(action=candidate, parameters=parameters)
        if candidate.method == method:
            return called
        wrong_method = wrong_method or called
    return wrong_method


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """An action whose path fits; its method may be another than the one asked for."""

    action: AnyAction
    parameters: dict[str, str]


def _fits(pattern: str, tail: Sequence[str]) -> dict[str, str] | None:
    parts = pattern.split("/")
    if len(parts) != len(tail):
        return None
    parameters: dict[str, str] = {}
    for part, segment in zip(parts, tail, strict=True):
        if part.startswith("{"):
            parameters[part[1:-1]] = segment
        elif part.lower() != segment.lower():
            return None
    return parameters
