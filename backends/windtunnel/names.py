"""The rules of names, and the sentences that Azure ML uses to refuse one.

Source of rules and wording: azureml-core 1.61 (Model, Webservice); for DNS labels and registries, ARM.
"""

from __future__ import annotations

import re

from windtunnel.errors import InvalidSpec

_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MODEL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{3,61}[a-z0-9])")
_REGISTRY = re.compile(r"[a-zA-Z0-9]{5,50}")
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{,61}[a-z0-9])?")
_CLUSTER = re.compile(r"[a-zA-Z]([a-zA-Z0-9-]{1,22}[a-zA-Z0-9])")
_RESERVED_CLUSTERS = frozenset({"amlcompute", "local", "containerinstance"})
_TAG_FORBIDDEN = set("<>%&\\?/")
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
TAGS_MAXIMUM = 50


def check_service(name: str) -> str:
    """The name, if a service may have it; raises ``InvalidSpec``."""
    if not (3 <= len(name) <= 32 and _SERVICE.fullmatch(name)):
        raise InvalidSpec(
            "Error, provided service name is invalid. It must only consist of lowercase letters, numbers, or dashes,"
            " start with a letter, end with a letter or number, and be between 3 and 32 characters long.",
            way_out=f"Choose another name than {name!r}.",
        )
    return name


def check_model(name: str) -> str:
    """The name, if a model may have it; raises ``InvalidSpec``."""
    if not _MODEL.fullmatch(name):
        raise InvalidSpec(
            "Error, provided model name is invalid. It must only consist of letters, numbers, dashes, periods, or"
            " underscores, start with a letter or number, and be between 1 and 255 characters long.",
            way_out=f"Choose another name than {name!r}.",
        )
    return name


def check_dns_label(label: str) -> str:
    """The label, if ARM takes it as a DNS name label; raises ``InvalidSpec``."""
    if not _DNS_LABEL.fullmatch(label):
        raise InvalidSpec(
            f"the DNS name label {label!r} is invalid: 5 to 63 lowercase letters, digits and dashes,"
            " with a letter or digit at both ends"
        )
    return label


def check_registry(name: str) -> str:
    """The name, if a container registry may have it; raises ``InvalidSpec``."""
    if not _REGISTRY.fullmatch(name):
        raise InvalidSpec(f"the registry name {name!r} is invalid: 5 to 50 letters and digits, nothing else")
    return name


def is_namespace(name: str) -> bool:
    """Whether Kubernetes takes it as a namespace, in Azure ML's reading."""
    return NAMESPACE.fullmatch(name) is not None


def check_cluster(name: str) -> str:
    """The name, if Azure ML takes it for an AKS compute target; raises ``InvalidSpec``."""
    if name.lower() in _RESERVED_CLUSTERS:
        raise InvalidSpec(f"Please specify a different target name. {name} is a reserved name.")
    if not _CLUSTER.fullmatch(name):
        raise InvalidSpec(
            f"the cluster name {name!r} is invalid: 3 to 24 letters, digits and dashes, starting with a letter and"
            " ending with a letter or digit"
        )
    return name


def check_tag(name: str, value: str) -> None:
    """Raises ``InvalidSpec`` for a tag that ARM would refuse."""
    if not 1 <= len(name) <= 512 or _TAG_FORBIDDEN & set(name):
        raise InvalidSpec(f"the tag name {name!r} is invalid: 1 to 512 characters, none of < > % & \\ ? /")
    if len(value) > 256:
        raise InvalidSpec(f"the value of tag {name!r} is too long: {len(value)} characters, at most 256")


def check_environment(name: str) -> None:
    """Raises ``InvalidSpec`` for a name that ACI would refuse for an environment variable."""
    if not _ENVIRONMENT.fullmatch(name):
        raise InvalidSpec(
            f"the environment variable name {name!r} is invalid: 1 to 63 letters, digits and underscores,"
            " not starting with a digit"
        )


def model_name_of(stem: str) -> str:
    """A model's name from the stem of its file: what the rule does not allow becomes a dash."""
    name = re.sub(r"[^a-zA-Z0-9\-._]+", "-", stem).lstrip("-._")[:255]
    return check_model(name or "model")


def repository_of(model_name: str) -> str:
    """A registry's repository for the images of a model (repositories are lowercase)."""
    name = re.sub(r"[^a-z0-9]+", "-", model_name.lower()).strip("-") or "model"
    return f"windtunnel/{name[:120]}"
