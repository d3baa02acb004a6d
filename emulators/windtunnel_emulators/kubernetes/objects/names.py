"""What names, labels and the like may look like; each check returns what is wrong, in the API's words."""

from __future__ import annotations

import ipaddress
import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"
_ENV = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
_KEY = r"[-._a-zA-Z0-9]+"
_C_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_PATTERNS = {text: re.compile(text) for text in (_LABEL, _SUBDOMAIN, _LABEL_1035, _NAME, _VALUE, _ENV, _KEY, _C_NAME)}
LONGEST_LABEL = 63
LONGEST_SUBDOMAIN = 253


def _regex(message: str, pattern: str, *examples: str) -> str:
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    told = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {told}regex used for validation is '{pattern}')"


def _longer(most: int) -> str:
    return f"must be no more than {most} characters"


_LABEL_MESSAGE = _regex(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
    " and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_MESSAGE = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
    " and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_MESSAGE = _regex(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-',"
    " start with an alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_NAME_MESSAGE = _regex(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _NAME,
    "MyName",
    "my.name",
    "123-abc",
)
_VALUE_MESSAGE = _regex(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character",
    _VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_KEY_MESSAGE = _regex(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)


def _checked(text: str, pattern: str, longest: int, message: str) -> list[str]:
    found: list[str] = []
    if len(text.encode()) > longest:
        found.append(_longer(longest))
    if not _PATTERNS[pattern].fullmatch(text):
        found.append(message)
    return found


def label(text: str) -> list[str]:
    """RFC 1123 label: most names inside specifications, and namespaces."""
    return _checked(text, _LABEL, LONGEST_LABEL, _LABEL_MESSAGE)


def subdomain(text: str) -> list[str]:
    """RFC 1123 subdomain: names of most objects."""
    return _checked(text, _SUBDOMAIN, LONGEST_SUBDOMAIN, _SUBDOMAIN_MESSAGE)


def label_1035(text: str) -> list[str]:
    """RFC 1035 label: names of services."""
    return _checked(text, _LABEL_1035, LONGEST_LABEL, _LABEL_1035_MESSAGE)


def path_segment(text: str) -> list[str]:
    """A name that only has to fit into a path: RBAC."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{letter}'" for letter in ("/", "%") if letter in text]


def qualified(text: str) -> list[str]:
    """A key of labels or annotations: a name, perhaps after a subdomain and a slash."""
    parts = text.split("/")
    found: list[str] = []
    if len(parts) == 1:
        name = parts[0]
    elif len(parts) == 2:
        prefix, name = parts
        if not prefix:
            found.append("prefix part must be non-empty")
        else:
            found.extend(f"prefix part {message}" for message in subdomain(prefix))
    else:
        return [
            _regex(
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
                " with an alphanumeric character",
                _NAME,
                "MyName",
                "my.name",
                "123-abc",
            )
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if not name:
        found.append("name part must be non-empty")
    elif len(name.encode()) > LONGEST_LABEL:
        found.append(f"name part {_longer(LONGEST_LABEL)}")
    if not _PATTERNS[_NAME].fullmatch(name):
        found.append(f"name part {_NAME_MESSAGE}")
    return found


def label_value(text: str) -> list[str]:
    """A value of a label."""
    return _checked(text, _VALUE, LONGEST_LABEL, _VALUE_MESSAGE)


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or a Secret."""
    found: list[str] = []
    if len(text) > LONGEST_SUBDOMAIN:
        found.append(_longer(LONGEST_SUBDOMAIN))
    if not _PATTERNS[_KEY].fullmatch(text):
        found.append(_KEY_MESSAGE)
    elif text == ".":
        found.append("must not be '.'")
    elif text == "..":
        found.append("must not be '..'")
    elif text.startswith(".."):
        found.append("must not start with '..'")
    return found


def env_name(text: str) -> list[str]:
    """A name of an environment variable."""
    if not text:
        return ["environment variable name must not be empty"]
    if all(" " <= letter <= "~" and letter != "=" for letter in text):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def port_name(text: str) -> list[str]:
    """An IANA service name."""
    found: list[str] = []
    if len(text) > 15:
        found.append("must be no more than 15 characters")
    if not re.fullmatch(r"[-a-z0-9]+", text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text[:1] == "-" or text[-1:] == "-":
        found.append("must not begin or end with a hyphen")
    return found


def port_number(number: int) -> list[str]:
    """A port that can be listened at."""
    return [] if 1 <= number <= 65535 else ["must be between 1 and 65535, inclusive"]


def address(text: str) -> list[str]:
    """An IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def fully_qualified(text: str) -> list[str]:
    """A domain name of two parts or more."""
    found = subdomain(text)
    if not text:
        return ["must be specified"]
    if not found and len(text.split(".")) < 3:
        return ["should be a domain with at least three segments separated by dots"]
    return found
