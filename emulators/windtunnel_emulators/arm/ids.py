"""Azure resource ids: parsed once at the edge, compared without case, printed as first written.

/subscriptions/{s}
/subscriptions/{s}/resourceGroups/{g}
/subscriptions/{s}/resourceGroups/{g}/providers/{ns}/{type}/{name}[/{type}/{name}...]
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceId:
    """One resource. Equality is by spelling; compare ``key`` to compare as Azure does."""

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]
    text: str = field(init=False, repr=False, compare=False)
    """As it is printed; kept, because every answer prints it."""

    def __post_init__(self) -> None:
        text = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.type_and_name}"
        object.__setattr__(self, "text", text)

    @property
    def type(self) -> str:
        """The full type, as in ``Microsoft.ContainerRegistry/registries/tasks``."""
        return "/".join((self.namespace, *self.types))

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def key(self) -> str:
        """What ids are compared and stored by: lower case."""
        return self.text.lower()

    @property
    def parent(self) -> ResourceId | None:
        """The resource that this one is nested in; None at the top."""
        if len(self.types) == 1:
            return None
        return ResourceId(
            subscription=self.subscription,
            group=self.group,
            namespace=self.namespace,
            types=self.types[:-1],
            names=self.names[:-1],
        )

    def child(self, type_: str, name: str) -> ResourceId:
        """A resource nested in this one."""
        return ResourceId(
            subscription=self.subscription,
            group=self.group,
            namespace=self.namespace,
            types=(*self.types, type_),
            names=(*self.names, name),
        )

    @property
    def type_and_name(self) -> str:
        """As Azure's messages name it: ``Microsoft.ContainerRegistry/registries/r/tasks/t``."""
        pairs = (f"{t}/{n}" for t, n in zip(self.types, self.names, strict=True))
        return "/".join((self.namespace, *pairs))

    def __str__(self) -> str:
        return self.text
