"""Everything that Windtunnel raises on purpose: one tree, each error with a sentence and a way out.

    WindtunnelError              message, way_out, and Azure's code and request id where Azure was asked
    +-- NotFound                 no such service, file or backend
    +-- AlreadyExists            the name is taken and overwriting was not asked for
    +-- InvalidSpec              a value that breaks a rule of the target
    +-- InvalidInput             data for a prediction that cannot be read
    +-- Unsupported              a capability that the backend withholds on this target, with its reason
    +-- NotConfigured            a setting that is missing or wrong, by name
    +-- MissingExtra             an optional dependency that is not installed
    +-- AuthenticationFailed     credentials that cannot be had or are refused
    +-- Conflict                 another operation is in progress on the same thing
    +-- QuotaExceeded            a limit of the subscription
    +-- Timeout                  a limit of ours on waiting
    +-- Cancelled                an operation that was cancelled on request
    +-- DeploymentFailed         a service that was deployed and does not run, with the end of its log
    |   +-- BuildFailed          an image that could not be built, with the end of the build log
    +-- ScoringFailed            an answer of a service that is not a prediction
    +-- EmulatorsFailed          the emulators are not there, or do not start, with the end of their log
    +-- ServiceError             anything else that Azure refused
    +-- ModelError               a model file that cannot be deployed
        +-- NotOnnx              not an ONNX file
        +-- DamagedModel         truncated or corrupt
        +-- EmptyModel           nothing in it, or no output
        +-- NeedsNewerRuntime    an opset or IR version that the runtime does not know
        +-- MissingData          external data that is not beside the model
        +-- ModelTooLarge        over the limit of the target

These are ordinary classes: a frozen dataclass breaks when the interpreter sets ``__traceback__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel.interface import Capability
    from windtunnel.spec import Target


class WindtunnelError(Exception):
    """The base. ``str(error)`` says what failed and which value; ``way_out`` what can be done about it."""

    def __init__(
        self,
        message: str,
        *,
        way_out: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out
        self.code = code
        """Azure's own error code, where Azure answered one."""
        self.request_id = request_id
        """What Azure's support asks for."""


class NotFound(WindtunnelError):
    """There is no such thing."""


class AlreadyExists(WindtunnelError):
    """The name is taken."""


class InvalidSpec(WindtunnelError):
    """A value that breaks a rule; nothing was sent."""


class InvalidInput(WindtunnelError):
    """Data for a prediction that cannot be read; nothing was sent."""


class Unsupported(WindtunnelError):
    """A capability that the backend withholds on this target."""

    def __init__(self, *, backend: str, target: Target, capability: Capability, reason: str) -> None:
        super().__init__(
            f"{capability} is not offered by backend {backend!r} on target {target}: {reason}",
            way_out="`windtunnel targets` lists what each backend offers on each target, and why not the rest.",
        )
        self.backend = backend
        self.target = target
        self.capability = capability
        self.reason = reason


class NotConfigured(WindtunnelError):
    """A setting that is missing or wrong. The message names the key, the environment variable and the flag."""


class MissingExtra(WindtunnelError):
    """An optional dependency that is not installed."""

    def __init__(self, what: str, extra: str, module: str) -> None:
        super().__init__(
            f"{what} needs the Python package {module!r}, which is not installed",
            way_out=f"Install it: pip install 'windtunnel[{extra}]'",
        )
        self.extra = extra


class AuthenticationFailed(WindtunnelError):
    """Credentials that cannot be had, or that are refused."""


class Conflict(WindtunnelError):
    """Another operation on the same thing is in progress."""


class QuotaExceeded(WindtunnelError):
    """A limit of the subscription, as Azure states it."""


class Timeout(WindtunnelError):
    """The wait is over, the work may still go on."""


class Cancelled(WindtunnelError):
    """The operation was cancelled; the message says what state it left."""


class DeploymentFailed(WindtunnelError):
    """A deployment that ended in failure; ``log`` is the end of the log that tells why."""

    def __init__(
        self,
        message: str,
        *,
        log: str = "",
        way_out: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, way_out=way_out, code=code, request_id=request_id)
        self.log = log


class BuildFailed(DeploymentFailed):
    """An image that could not be built; ``log`` is the end of the build log."""


class ScoringFailed(WindtunnelError):
    """A service that answered, but not with a prediction."""

    def __init__(self, message: str, *, status: int | None = None, body: str = "", way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.status = status
        self.body = body


class EmulatorsFailed(WindtunnelError):
    """The emulators are not running, or could not be started; ``log`` is the end of their log."""

    def __init__(self, message: str, *, log: str = "", way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.log = log


class ServiceError(WindtunnelError):
    """Anything else that Azure refused, with its status, code and request id."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        way_out: str | None = None,
    ) -> None:
        super().__init__(message, way_out=way_out, code=code, request_id=request_id)
        self.status = status


class ModelError(WindtunnelError):
    """A model file that cannot be deployed, and why."""


class NotOnnx(ModelError):
    """The file is something else."""


class DamagedModel(ModelError):
    """The file is ONNX, but a part of it is missing or broken."""


class EmptyModel(ModelError):
    """The file holds nothing that could be run."""


class NeedsNewerRuntime(ModelError):
    """The model asks for an operator set or a format that the runtime does not know."""


class MissingData(ModelError):
    """Weights that the model keeps in other files, which are not there."""


class ModelTooLarge(ModelError):
    """The model is over a limit of the target."""
