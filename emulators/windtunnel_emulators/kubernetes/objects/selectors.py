"""Label and field selectors, read from their text and structured forms, and what they say of an object."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.causes import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

_WORD = re.compile(r"\s*(==|!=|[=,!()<>]|[^\s=,!()<>]+)")
_SIGNS = frozenset({"=", "==", "!=", ",", "!", "(", ")", "<", ">"})
_IN, _NOT_IN, _EXISTS, _MISSING, _GREATER, _LESS = "in", "notin", "exists", "!", "gt", "lt"
_OPERATORS = {"In": _IN, "NotIn": _NOT_IN, "Exists": _EXISTS, "DoesNotExist": _MISSING}
_NODE_OPERATORS = {**_OPERATORS, "Gt": _GREATER, "Lt": _LESS}


class SelectorError(ValueError):
    """A text that is no selector; the message is the API's."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, Json]) -> bool:
        operator = self.operator
        if operator == _IN:
            return labels.get(self.key) in self.values and self.key in labels
        if operator == _NOT_IN:
            return self.key not in labels or labels[self.key] not in self.values
        if operator == _EXISTS:
            return self.key in labels
        if operator == _MISSING:
            return self.key not in labels
        try:
            found, limit = int(str(labels[self.key])), int(self.values[0])
        except (KeyError, ValueError):
            return False
        return found > limit if operator == _GREATER else found < limit

    def __str__(self) -> str:
        if self.operator == _EXISTS:
            return self.key
        if self.operator == _MISSING:
            return f"!{self.key}"
        if self.operator in (_GREATER, _LESS):
            return f"{self.key}{'>' if self.operator == _GREATER else '<'}{self.values[0]}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == _IN else '!='}{self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements together; without any it selects everything, unless it is ``nothing``."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, Json]) -> bool:
        """Whether an object with these labels is selected."""
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


NOTHING = Selector(nothing=True)
EVERYTHING = Selector()


class _Parser:
    def __init__(self, text: str) -> None:
        self._words = _WORD.findall(text) if text.strip() else []
        self._at = 0

    def peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else ""

    def next(self) -> str:
        word = self.peek()
        self._at += 1
        return word

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            word = self.peek()
            if not word:
                return found
            if word not in _SIGNS or word == "!":
                found.append(self._requirement())
                following = self.peek()
                if following == "":
                    return found
                if following != ",":
                    raise SelectorError(f"found '{following}', expected: ',' or 'end of string'")
                self.next()
                after = self.peek()
                if after != "!" and (after == "" or after in _SIGNS):
                    raise SelectorError(f"found '{after}', expected: identifier after ','")
                continue
            raise SelectorError(f"found '{word}', expected: !, identifier, or 'end of string'")

    def _requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.next()
        key = self.next()
        if key == "" or key in _SIGNS:
            raise _unreadable(f"found '{key}', expected: identifier")
        problems = names.qualified(key)
        if problems:
            raise _unreadable(f"<nil>: Invalid value: {shown(key)}: {'; '.join(problems)}")
        if negated:
            return Requirement(key, _MISSING)
        operator = self.peek()
        if operator in ("", ","):
            return Requirement(key, _EXISTS)
        self.next()
        if operator in ("in", "notin"):
            return _checked(Requirement(key, operator, self._values()))
        if operator in ("=", "==", "!=", ">", "<"):
            value = self.peek()
            if value in ("", ","):
                value = ""
            else:
                self.next()
                if value in _SIGNS:
                    raise _unreadable(f"found '{value}', expected: identifier")
            mapped = {"=": _IN, "==": _IN, "!=": _NOT_IN, ">": _GREATER, "<": _LESS}[operator]
            return _checked(Requirement(key, mapped, (value,)))
        raise _unreadable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _values(self) -> tuple[str, ...]:
        word = self.next()
        if word != "(":
            raise _unreadable(f"found '{word}' expected: '('")
        found: list[str] = []
        expects_value = True
        while True:
            word = self.next()
            if word == ")":
                if expects_value:
                    found.append("")
                return tuple(sorted(set(found)))
            if word == ",":
                if expects_value:
                    found.append("")
                expects_value = True
            elif not word or word in _SIGNS:
                raise _unreadable(f"found '{word}', expected: ',', ')' or identifier")
            elif expects_value:
                found.append(word)
                expects_value = False
            else:
                raise _unreadable(f"found '{word}', expected: ',' or ')'")


def _unreadable(why: str) -> SelectorError:
    return SelectorError(f"unable to parse requirement: {why}")


def _checked(requirement: Requirement) -> Requirement:
    for index, value in enumerate(requirement.values):
        if requirement.operator in (_GREATER, _LESS):
            if not re.fullmatch(r"[+-]?[0-9]+", value):
                why = "for 'Gt', 'Lt' operators, the value must be an integer"
                raise _unreadable(f"values[{index}]: Invalid value: {shown(value)}: {why}")
            continue
        problems = names.label_value(value)
        if problems:
            where = f"values[{index}][{requirement.key}]"
            raise _unreadable(f"{where}: Invalid value: {shown(value)}: {'; '.join(problems)}")
    return requirement


def parse_labels(text: str) -> Selector:
    """A label selector in its text form. Raises ``SelectorError`` with the API's message."""
    return Selector(tuple(sorted(_Parser(text).requirements(), key=lambda found: found.key)))


def label_selector(value: Json) -> Selector:
    """A structured label selector (``matchLabels``, ``matchExpressions``); null selects nothing, empty everything.

    Raises ``SelectorError``.
    """
    if value is None:
        return NOTHING
    found = as_object(value)
    requirements = [
        Requirement(key, _IN, (as_str(wanted),)) for key, wanted in as_object(found.get("matchLabels")).items()
    ]
    requirements += _expressions(as_list(found.get("matchExpressions")), _OPERATORS, "label selector")
    return Selector(tuple(requirements))


def node_expressions(value: Json) -> Selector:
    """The ``matchExpressions`` (or ``matchFields``) of a node selector's term. Raises ``SelectorError``."""
    return Selector(tuple(_expressions(as_list(value), _NODE_OPERATORS, "node selector")))


def _expressions(expressions: Sequence[Json], operators: Mapping[str, str], what: str) -> list[Requirement]:
    found: list[Requirement] = []
    for expression in expressions:
        entry = as_object(expression)
        operator = as_str(entry.get("operator"))
        if operator not in operators:
            raise SelectorError(f'"{operator}" is not a valid {what} operator')
        values = tuple(as_str(each) for each in as_list(entry.get("values")))
        found.append(Requirement(as_str(entry.get("key")), operators[operator], values))
    return found


def labels_of(whole: JsonObject) -> Mapping[str, Json]:
    """The labels of an object."""
    return as_object(as_object(whole.get("metadata")).get("labels"))


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One field that has, or has not, a value."""

    field: str
    value: str
    equal: bool = True


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms together."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, whole: JsonObject) -> bool:
        """Whether an object is selected."""
        return all((field_text(whole, term.field) == term.value) == term.equal for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The value that the field must have; None if it may have any."""
        return next((term.value for term in self.terms if term.equal and term.field == field), None)


def parse_fields(info: KindInfo, text: str) -> FieldSelector:
    """A field selector for a kind. Raises ``SelectorError`` with the API's message."""
    terms: list[FieldTerm] = []
    for part in _split_terms(text):
        if not part:
            continue
        field, sign, value = _split_term(part)
        if not sign:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        value = _unescaped(value)
        _check_field(info, field)
        terms.append(FieldTerm(field, value, sign != "!="))
    return FieldSelector(tuple(terms))


def _split_terms(text: str) -> list[str]:
    return re.findall(r"((?:\\.|[^,\\])*)(?:,|$)", text, re.DOTALL)


def _split_term(part: str) -> tuple[str, str, str]:
    found = re.match(r"((?:\\.|[^=!\\])*)(!=|==|=)", part, re.DOTALL)
    if found is None:
        return part, "", ""
    return found[1], found[2], part[found.end() :]


def _unescaped(value: str) -> str:
    made: list[str] = []
    letters = iter(value)
    for letter in letters:
        if letter == "\\":
            after = next(letters, None)
            if after is None or after not in "\\,=":
                wrong = "\\" if after is None else after
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{wrong if after else ''}")
            made.append(after)
        elif letter in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(letter)}")
        else:
            made.append(letter)
    return "".join(made)


# How the kinds with fields of their own refuse others: three ways.
_QUOTED = frozenset({"batch/Job"})
_CORE = frozenset(
    {
        "core/Pod",
        "core/Node",
        "core/ReplicationController",
        "core/Event",
        "core/Namespace",
        "core/Secret",
        "core/Service",
        "apps/ReplicaSet",
        "apps/Deployment",
        "apps/DaemonSet",
        "apps/StatefulSet",
        "events.k8s.io/Event",
        "certificates.k8s.io/CertificateSigningRequest",
        "resource.k8s.io/ResourceSlice",
    }
)


def _check_field(info: KindInfo, field: str) -> None:
    known = set(info.field_selectors)
    if not info.kind.namespaced and info.strategy in _CORE:
        known.discard("metadata.namespace")
    if field in known:
        return
    if info.custom:
        if field not in ("metadata.name", "metadata.namespace"):
            raise SelectorError(f"field label not supported: {field}")
    elif info.strategy in _QUOTED:
        raise SelectorError(f'field label "{field}" not supported for {info.kind.name}')
    elif info.strategy in _CORE and len(info.field_selectors) > 2:
        raise SelectorError(f"field label not supported: {field}")
    else:
        raise SelectorError(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')


_SPECIAL: dict[str, Callable[[JsonObject], str]] = {
    "name": lambda whole: as_str(as_object(whole.get("metadata")).get("name")),
    "status.successful": lambda whole: _text(as_object(whole.get("status")).get("succeeded"), "0"),
    "status.podIPs": lambda whole: ",".join(
        as_str(as_object(each).get("ip")) for each in as_list(as_object(whole.get("status")).get("podIPs"))
    ),
}
_ABSENT = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
}


def _text(value: Json, absent: str = "") -> str:
    if value is None:
        return absent
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else shown(value)


def field_text(whole: JsonObject, field: str) -> str:
    """The value of a field as selectors compare it."""
    special = _SPECIAL.get(field)
    if special is not None:
        return special(whole)
    value: Json = whole
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if field == "source":
        component = as_str(as_object(value).get("component"))
        return component or as_str(whole.get("reportingComponent"))
    return _text(value, _ABSENT.get(field, ""))
