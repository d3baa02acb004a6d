"""What the control API reads and answers, as its OpenAPI document describes it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """JSON in camel case; what is not known is refused, so that a misspelled field is noticed."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class ErrorDetail(Model):
    code: str
    message: str
    target: str | None = None


class Problem(Model):
    """Any refusal."""

    error: ErrorDetail


class RuntimeState(Model):
    name: str = Field(description="process or docker")
    limits: dict[str, str] = Field(description="What is enforced on this machine and what is not, in words")


class Health(Model):
    """Asked for by whoever waits for the emulators."""

    status: str
    version: str
    pid: int
    runtime: RuntimeState | None = None


class PaceState(Model):
    name: str = Field(description="fast, azure, or a factor")
    factor: float = Field(description="0: no artificial wait; 1: Azure's own time; 10: ten times faster")


class ClockState(Model):
    now: datetime
    uptime_seconds: float
    pace: PaceState


class FaultOrder(Model):
    """What is to go wrong: an error status, a delay or a closed connection, at least one of them."""

    path: str = Field(
        default=".*",
        description="Regular expression, searched for in the path without regard to case",
        examples=["/containerGroups/"],
    )
    method: str = Field(default="*", description="A method in capitals, or * for any")
    status: int | None = Field(
        default=None, description="400 to 599; without it the request is only delayed", examples=[503]
    )
    code: str = Field(default="InjectedFault", max_length=200)
    message: str = Field(
        default="This failure was ordered by a fault rule of the emulators.",
        max_length=2000,
    )
    retry_after_s: int | None = Field(default=None, description="Retry-After of the answer; needs a status")
    delay_ms: int = Field(default=0, description="Waits so long first")
    abort: bool = Field(default=False, description="Closes the connection and answers nothing")
    times: int | None = Field(default=None, description="How often; without it, always", examples=[1])
    probability: float = Field(default=1.0, description="Of each matching request, above 0 and at most 1")
    seed: int = Field(default=0, description="Makes the chances repeatable")


class FaultRule(FaultOrder):
    """A rule in force."""

    id: str
    used: int = Field(description="How often it has happened")


class FaultRules(Model):
    value: list[FaultRule]


class Count(Model):
    count: int


class ResetOrder(Model):
    """Everything is deleted: resources, images, running containers, tokens, fault rules."""

    confirm: Literal[True] = Field(description="Must be true: nothing of what is deleted comes back", examples=[False])


class ResetDone(Model):
    reset: bool


class OperationState(Model):
    """A long-running operation of the resource manager."""

    id: str
    target: str
    verb: str
    status: str
    started: datetime
    ended: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None


class OperationStates(Model):
    value: list[OperationState]


class EdgeDevice(Model):
    """An IoT Edge device, as the emulators keep its process."""

    device: str
    hub: str
    folder: str = Field(description="Its own: with ready.json, where its control API is, and its log edge.log")
    pid: int | None = None
    address: str | None = Field(default=None, description="Where its modules and child devices connect to")
    state: str = Field(description="starting, running, failed, stopping or stopped")
    problem: str | None = Field(default=None, description="Why it does not run")
    control: str | None = Field(default=None, description="Its control API; the token is in ready.json")


class EdgeDevices(Model):
    value: list[EdgeDevice]


class LogLines(Model):
    lines: list[str]
