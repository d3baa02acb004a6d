"""Windtunnel: prove a model deployment on the ground before it flies on Azure.

    Target, Capability, Offer            what can be deployed where, and what a backend withholds, with the reason
    Spec, AciOptions, Script, Tls        a service to deploy
    Change                               what to change of one that runs
    Deployment, ServiceState             a service as it is
    Keys, KeyName, Token, Endpoint       how to reach it
    Backend, Operation, Progress         a place where models are deployed
    Session                              conveniences over any backend
    Cloud, Profile                       where a backend is
    Model                                what an ONNX file says of itself
    WindtunnelError                      the base of all errors (see ``windtunnel.errors``)
    load_backend, load_profile           by name

Everything is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from windtunnel.clouds import Cloud as Cloud
    from windtunnel.errors import WindtunnelError as WindtunnelError
    from windtunnel.interface import Backend as Backend
    from windtunnel.interface import Capability as Capability
    from windtunnel.interface import Deployment as Deployment
    from windtunnel.interface import Endpoint as Endpoint
    from windtunnel.interface import KeyName as KeyName
    from windtunnel.interface import Keys as Keys
    from windtunnel.interface import Offer as Offer
    from windtunnel.interface import Operation as Operation
    from windtunnel.interface import Progress as Progress
    from windtunnel.interface import ServiceState as ServiceState
    from windtunnel.interface import Token as Token
    from windtunnel.model import Model as Model
    from windtunnel.profiles import Profile as Profile
    from windtunnel.profiles import load as load_profile
    from windtunnel.registry import load as load_backend
    from windtunnel.session import Session as Session
    from windtunnel.spec import AciOptions as AciOptions
    from windtunnel.spec import Change as Change
    from windtunnel.spec import Script as Script
    from windtunnel.spec import Spec as Spec
    from windtunnel.spec import Target as Target
    from windtunnel.spec import Tls as Tls

_HOMES = {
    "clouds": ("Cloud",),
    "errors": ("WindtunnelError",),
    "interface": (
        "Backend",
        "Capability",
        "Deployment",
        "Endpoint",
        "KeyName",
        "Keys",
        "Offer",
        "Operation",
        "Progress",
        "ServiceState",
        "Token",
    ),
    "model": ("Model",),
    "profiles": ("Profile",),
    "session": ("Session",),
    "spec": ("AciOptions", "Change", "Script", "Spec", "Target", "Tls"),
}
_PLACES = {
    **{name: (module, name) for module, names in _HOMES.items() for name in names},
    "load_backend": ("registry", "load"),
    "load_profile": ("profiles", "load"),
}
__all__ = [  # noqa: RUF022  # in the order of the docstring
    "Target", "Capability", "Offer", "Spec", "AciOptions", "Script", "Tls", "Change", "Deployment", "ServiceState",
    "Keys", "KeyName", "Token", "Endpoint", "Backend", "Operation", "Progress", "Session", "Cloud", "Profile", "Model",
    "WindtunnelError", "load_backend", "load_profile",
]  # fmt: skip


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module 'windtunnel' has no attribute {name!r}")
        module, attribute = _PLACES[name]
        value: object = getattr(import_module(f"windtunnel.{module}"), attribute)
        globals()[name] = value
        return value
