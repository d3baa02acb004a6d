"""Bodies of tasks and of requests for runs; 2019-06-01-preview and 2025-03-01-preview have the same ones."""

from __future__ import annotations

from .bodies import Body, Identity

SHORTEST_S, LONGEST_S, USUAL_S = 300, 28800, 3600


class Platform(Body):
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None


class Agent(Body):
    cpu: int | None = None


class Argument(Body):
    name: str
    value: str = ""
    is_secret: bool = False


class Step(Body):
    """A task's one step, of any of the three types."""

    type: str | None = None
    context_path: str | None = None
    context_access_token: str | None = None
    image_names: list[str] | None = None
    is_push_enabled: bool | None = None
    no_cache: bool | None = None
    docker_file_path: str | None = None
    target: str | None = None
    arguments: list[Argument] | None = None
    task_file_path: str | None = None
    values_file_path: str | None = None
    encoded_task_content: str | None = None
    encoded_values_content: str | None = None
    values: list[Argument] | None = None


class BaseImageTrigger(Body):
    base_image_trigger_type: str | None = None
    update_trigger_endpoint: str | None = None
    update_trigger_payload_type: str | None = None
    status: str | None = None
    name: str | None = None


class NamedTrigger(Body):
    name: str | None = None
    status: str | None = None
    schedule: str | None = None


class Trigger(Body):
    base_image_trigger: BaseImageTrigger | None = None
    source_triggers: list[NamedTrigger] | None = None
    timer_triggers: list[NamedTrigger] | None = None


class Secret(Body):
    value: str | None = None
    type: str | None = None


class SourceRegistry(Body):
    login_mode: str | None = None
    identity: str | None = None


class CustomRegistry(Body):
    user_name: Secret | None = None
    password: Secret | None = None
    identity: str | None = None


class Credentials(Body):
    source_registry: SourceRegistry | None = None
    custom_registries: dict[str, CustomRegistry] | None = None


class TaskProperties(Body):
    status: str | None = None
    platform: Platform | None = None
    agent_configuration: Agent | None = None
    agent_pool_name: str | None = None
    timeout: int | None = None
    step: Step | None = None
    trigger: Trigger | None = None
    credentials: Credentials | None = None
    log_template: str | None = None
    is_system_task: bool | None = None


class TaskBody(Body):
    properties: TaskProperties | None = None
    tags: dict[str, str] | None = None
    identity: Identity | None = None


class Override(Body):
    context_path: str | None = None
    file: str | None = None
    arguments: list[Argument] | None = None
    target: str | None = None
    values: list[Argument] | None = None
    update_trigger_token: str | None = None


class RunRequest(Body):
    """``scheduleRun``, of any of the four types."""

    type: str
    is_archive_enabled: bool = False
    agent_pool_name: str | None = None
    log_template: str | None = None
    task_id: str | None = None
    override_task_step_properties: Override | None = None
    image_names: list[str] | None = None
    is_push_enabled: bool = True
    no_cache: bool = False
    docker_file_path: str | None = None
    target: str | None = None
    arguments: list[Argument] | None = None
    task_file_path: str | None = None
    encoded_task_content: str | None = None
    timeout: int | None = None
    platform: Platform | None = None
    agent_configuration: Agent | None = None
    source_location: str | None = None
