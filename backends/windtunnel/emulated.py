"""The emulators as a backend: found or started as a process of their own, then used like any other Azure.

This is the only file that knows of them. ``EmulatedBackend`` adds nothing to ``AzureBackend`` but the ``Cloud``, and
that the links of its edge devices can be cut.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self

from windtunnel.adapters.azure import EDGE_OFFER, AzureBackend
from windtunnel.clouds import Cloud, client_secret
from windtunnel.edge_devices import EdgeDevices
from windtunnel.errors import EmulatorsFailed, MissingExtra, NotConfigured
from windtunnel.interface import Capability, Offer, Progress
from windtunnel.jsontypes import as_object, as_str
from windtunnel.profiles import Origin, Profile
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel.interface import Link
    from windtunnel.jsontypes import JsonObject

MODULE = "windtunnel_emulators"
LOG, READY = "emulators.log", "ready.json"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
_NEEDED = ("windtunnel_emulators", "msgspec", "uvicorn", "httptools", "cryptography")
_OPTIONS = {
    "port": ("a number from 0 to 65535", r"\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]"),
    "pace": ("fast, azure, or a positive number", r"fast|azure|(?=.*[1-9])\d+(\.\d+)?"),
    "runtime": ("process, docker or kubernetes", r"process|docker|kubernetes"),
    "kubernetes": ("embedded, binaries or kind", r"embedded|binaries|kind"),
}
"""What each may be, in words and as a pattern; whether a runtime can be had here, the emulators say."""
_POLL_S = 0.02
_OTHERS_RUN = 3
"""Exit code of emulators that find others on their state folder."""
_LOG_LINES = 30
_HTTP_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the ready file says."""

    pid: int
    version: str
    endpoints: Mapping[str, str]
    environment: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Ready | None:
        """None when there is no whole file."""
        try:
            content = as_object(json.loads(path.read_text("utf-8")))
        except (FileNotFoundError, ValueError):
            return None
        pid = content.get("pid")
        return cls(
            pid=pid if isinstance(pid, int) else 0,
            version=as_str(content.get("version")),
            endpoints={k: as_str(v) for k, v in as_object(content.get("endpoints")).items()},
            environment={k: as_str(v) for k, v in as_object(content.get("environment")).items()},
        )


class Emulators:
    """The emulators of one state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def log_file(self) -> Path:
        """Where a detached process writes."""
        return self.folder / LOG

    def running(self) -> Ready | None:
        """How to reach them; None when they do not run, whatever an old ready file says."""
        ready = Ready.read(self.folder / READY)
        return ready if ready is not None and _is_ours(ready.pid) else None

    def require(self) -> Ready:
        """As ``running``. Raises ``EmulatorsFailed`` when they do not run."""
        ready = self.running()
        if ready is None:
            raise EmulatorsFailed(
                f"the emulators are not running (state folder {self.folder})",
                way_out="Start them: windtunnel up",
            )
        return ready

    def command(self, options: Sequence[str]) -> list[str]:
        """What starts them in the foreground. Raises ``MissingExtra``."""
        for module in _NEEDED:
            if util.find_spec(module) is None:
                raise MissingExtra("running the emulators", "emulators", module)
        return [sys.executable, "-m", MODULE, "--state-dir", str(self.folder), *options]

    def start(self, options: Sequence[str], environment: Mapping[str, str], *, limit_s: float = START_LIMIT_S) -> Ready:
        """Start them detached and wait until everything listens. Raises ``EmulatorsFailed`` with the end of their log.

        When they run already, or are being started by somebody else, that is as good.
        """
        command = self.command(options)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            pid = self._spawn(command, environment)
        except OSError as error:
            raise EmulatorsFailed(
                f"the state folder {self.folder} cannot be used: {error.strerror or error}",
                way_out="Name another one with --state-dir or WINDTUNNEL_STATE_DIR.",
            ) from error
        code: int | None = None
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            ready = self.running()
            if ready is not None:
                return ready
            if code is None:
                code = _exit_code(pid)
            if code not in (None, _OTHERS_RUN) and self.running() is None:
                log = self.log_tail()
                raise EmulatorsFailed(
                    f"the emulators did not start: they ended with exit code {code}",
                    log=log,
                    way_out="" if log else "`windtunnel up --foreground` shows why; their log could not be written.",
                )
            time.sleep(_POLL_S)
        if code is None:
            os.kill(pid, signal.SIGTERM)
            while _exit_code(pid) is None:
                time.sleep(_POLL_S)
        raise EmulatorsFailed(f"the emulators were not ready after {limit_s:g} s and were stopped", log=self.log_tail())

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """In a session of its own, without an object that would expect to outlive it; its output goes to the log."""
        log = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            return os.posix_spawn(
                command[0],
                list(command),
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(log)

    def stop(self, *, limit_s: float = STOP_LIMIT_S) -> bool:
        """SIGTERM, and wait for the end; False when they did not run. Raises ``EmulatorsFailed`` if they do not end."""
        ready = self.running()
        if ready is None:
            (self.folder / READY).unlink(missing_ok=True)  # of a process that was killed
            return False
        os.kill(ready.pid, signal.SIGTERM)
        end = time.monotonic() + limit_s
        while _is_ours(ready.pid):
            if time.monotonic() > end:
                raise EmulatorsFailed(
                    f"the emulators (process {ready.pid}) did not end within {limit_s:g} s of SIGTERM",
                    log=self.log_tail(),
                    way_out=f"kill -9 {ready.pid}: nothing that was acknowledged is lost, and what they run ends too.",
                )
            time.sleep(_POLL_S)
        return True

    def log_tail(self, lines: int = _LOG_LINES) -> str:
        """The end of a detached process's output."""
        try:
            text = self.log_file.read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def reset(self) -> None:
        """Empty everything, keep running. Raises ``EmulatorsFailed``."""
        self._control("POST", "/reset", {"confirm": True})
        shutil.rmtree(self.folder / "client", ignore_errors=True)

    def health(self) -> JsonObject:
        """What they say of themselves. Raises ``EmulatorsFailed``."""
        return self._control("GET", "/health")

    def _control(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        ready = self.require()
        url = ready.endpoints["control"] + path
        context = ssl.create_default_context(cafile=ready.environment["SSL_CERT_FILE"])
        # Always on this machine: a proxy of the environment is none of its business.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        pair = f"{ready.environment['AZURE_CLIENT_ID']}:{ready.environment['AZURE_CLIENT_SECRET']}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, method=method, data=data, headers=headers)  # noqa: S310
        try:
            with opener.open(request, timeout=_HTTP_LIMIT_S) as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                said = refused.read(2000).decode("utf-8", "replace")
            raise EmulatorsFailed(
                f"the emulators answered {method} {path} with {refused.code}: {said}",
                way_out="Their log tells more: windtunnel logs",
            ) from refused
        except (urllib.error.URLError, OSError) as error:
            raise EmulatorsFailed(
                f"the emulators do not answer at {url}: {error}",
                log=self.log_tail(),
                way_out="windtunnel down, then up",
            ) from error
        return as_object(json.loads(content)) if content else {}


class EmulatedBackend(AzureBackend):
    """The same adapters, at the emulators of the profile's state folder."""

    name: ClassVar[str] = "local"
    offers: ClassVar[Mapping[Target, Offer]] = MappingProxyType(
        {
            **AzureBackend.offers,
            Target.IOT_EDGE: replace(
                EDGE_OFFER,
                can=EDGE_OFFER.can | {Capability.OFFLINE},
                cannot=MappingProxyType(
                    {c: why for c, why in EDGE_OFFER.cannot.items() if c is not Capability.OFFLINE}
                ),
            ),
        }
    )
    _state_dir: Path | None = None

    @classmethod
    def prepare(cls, profile: Profile, *, progress: Callable[[Progress], None] | None = None) -> None:
        """Start the emulators unless they run."""
        emulators = Emulators(profile.state_dir)
        if emulators.running() is None:
            if progress is not None:
                progress(Progress(step=f"starting the emulators (state folder {emulators.folder})"))
            emulators.start(start_options(profile), os.environ)

    @classmethod
    def connect(cls, profile: Profile, *, progress: Callable[[Progress], None] | None = None) -> Self:
        connected = super().connect(profile, progress=progress)
        connected._state_dir = profile.state_dir
        return connected

    def link(self, target: Target, name: str) -> Link:
        self.require(target, {Capability.OFFLINE})
        if self._state_dir is None:
            raise self.refusal(target, Capability.OFFLINE)
        hub, device = self.device_of(name)
        return EdgeDevices(self._state_dir).find(device, hub)

    @classmethod
    def place(cls, profile: Profile) -> tuple[Cloud, Profile]:
        """Raises ``EmulatorsFailed`` when they do not run."""
        return _place(profile, Emulators(profile.state_dir).require())

    @classmethod
    def rehearsal_place(cls, profile: Profile) -> tuple[Cloud, Profile]:
        """Where the emulators are, or would be."""
        return _place(profile, Emulators(profile.state_dir).running() or _planned(profile))


def start_options(profile: Profile) -> list[str]:
    """The emulators' options from a profile's settings. Raises ``NotConfigured``."""
    options: list[str] = []
    for key, (rule, allowed) in _OPTIONS.items():
        value = profile.text(key)
        if value is None:
            continue
        if not re.fullmatch(allowed, value):
            raise NotConfigured(f"{key} is {value!r} ({profile.values[key].source}); it must be {rule}")
        options += [f"--{key}", value]
    return options


def _place(profile: Profile, ready: Ready) -> tuple[Cloud, Profile]:
    environment = ready.environment
    cloud = Cloud(
        name="local",
        resource_manager=ready.endpoints["resourceManager"].rstrip("/"),
        authority=ready.endpoints["authority"].rstrip("/"),
        credential=client_secret(environment["AZURE_CLIENT_ID"], environment["AZURE_CLIENT_SECRET"]),
        tenant=environment["AZURE_TENANT_ID"],
        ca_file=Path(environment["REQUESTS_CA_BUNDLE"]),
        instance_discovery=False,
        environment_proxies=False,
    )
    added = {"subscription": Origin(value=environment["AZURE_SUBSCRIPTION_ID"], source="the emulators")}
    if profile.text("data_dir") is None:
        added["data_dir"] = Origin(value=str(profile.state_dir / "client"), source="the emulators")
    return cloud, replace(profile, values={**profile.values, **added})


def _planned(profile: Profile) -> Ready:
    """What the ready file would say, as far as it is known before a start."""
    base = f"https://localhost:{profile.text('port') or '4580'}"
    nobody = "00000000-0000-0000-0000-000000000000"
    names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_SUBSCRIPTION_ID")
    environment = {**dict.fromkeys(names, nobody), "REQUESTS_CA_BUNDLE": str(profile.state_dir / "tls" / "ca.pem")}
    return Ready(pid=0, version="", endpoints={"resourceManager": base, "authority": base}, environment=environment)


def _exit_code(pid: int) -> int | None:
    """Of a child that has ended, once; None while it runs. 0 for one that somebody else has waited for."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if done else None


def _is_ours(pid: int) -> bool:
    """Whether that process is (still) the emulators: numbers are used again."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        # No /proc (macOS), or it ended this moment.
        return not Path("/proc/self").exists()
    # A child of ours that ended and was not waited for is a zombie: not running.
    return status.rpartition(")")[2].split()[0] != "Z" and MODULE.encode() in command
