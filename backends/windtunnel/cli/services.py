"""``deploy``, ``list``, ``show``, ``update``, ``delete``, ``logs``."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from windtunnel import registry
from windtunnel.aks_options import AksChange, AksOptions
from windtunnel.cli import aks, iotedge
from windtunnel.cli.context import Context, targets_of
from windtunnel.cli.options import NameArgument, TargetOption, TimeoutOption, command, pairs
from windtunnel.cli.render import SERVICE_COLUMNS, print_calls, service_fields, service_json, service_row
from windtunnel.errors import InvalidSpec
from windtunnel.session import DEPLOY_LIMIT_S, HEALTHY_LIMIT_S, wait_until_healthy
from windtunnel.spec import AciOptions, Change, ChosenKeys, FpgaOptions, Script, Spec, Target, Tls

ModelArgument = Annotated[Path, typer.Argument(help="The ONNX file.", metavar="MODEL.onnx")]
NameOption = Annotated[str, typer.Option("--name", "-n", help="The service's name.")]
ModelNameOption = Annotated[str | None, typer.Option(help="Name of the model; default: that of its file.")]
EntryOption = Annotated[Path | None, typer.Option("--entry-script", help="A score.py with init() and run().")]
RequirementsOption = Annotated[Path | None, typer.Option("--requirements", help="What the script needs (pip).")]
CpuOption = Annotated[float | None, typer.Option("--cpu", help="Cores; default: 0.1, for an FPGA 1.")]
MemoryOption = Annotated[float | None, typer.Option("--memory", help="Gigabytes; default: 0.5, for an FPGA 1.5.")]
ReplicasOption = Annotated[
    int | None, typer.Option("--replicas", help="How many there are: of the container, on an FPGA of the device.")
]
PortOption = Annotated[
    int | None, typer.Option("--port", help="Exposed; default: 5001, with TLS 5443; for an FPGA 50051.")
]
DnsOption = Annotated[str | None, typer.Option("--dns-name-label", help="A host name of your choice.")]
AuthOption = Annotated[bool | None, typer.Option("--auth/--no-auth", help="Whether predictions need a key.")]
PrimaryOption = Annotated[
    str | None, typer.Option("--primary-key", help="A key of your own.", envvar="WINDTUNNEL_KEY1")
]
SecondaryOption = Annotated[
    str | None, typer.Option("--secondary-key", help="A second key of your own.", envvar="WINDTUNNEL_KEY2")
]
CertOption = Annotated[Path | None, typer.Option("--ssl-cert", help="PEM file to serve TLS with.")]
CertKeyOption = Annotated[Path | None, typer.Option("--ssl-key", help="PEM file with its private key.")]
CnameOption = Annotated[str | None, typer.Option("--ssl-cname", help="Host name that the certificate is for.")]
EnvOption = Annotated[list[str] | None, typer.Option("--env", "-e", metavar="NAME=VALUE", help="For the container.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="On the service.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a service of that name.")]
AutoscaleOption = Annotated[
    bool | None,
    typer.Option("--autoscale/--no-autoscale", help="Replicas that follow the load; on AKS so unless --replicas."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the calls that would be made, and make none.")]
_DEFAULTS, _FPGA = AciOptions(), FpgaOptions()
_NOTHING: Mapping[str, object] = MappingProxyType({})


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "deploy", more=("further", [*aks.parameters(AksOptions), *aks.switches(), *iotedge.parameters()]))(
        deploy
    )
    command(app, "list")(list_services)
    command(app, "show")(show)
    command(app, "update", more=("only_aks", aks.parameters(AksChange)))(update)
    command(app, "scale")(scale)
    command(app, "delete")(delete)


def deploy(
    context: Context,
    model: ModelArgument,
    name: NameOption,
    target: TargetOption = Target.ACI,
    model_name: ModelNameOption = None,
    entry_script: EntryOption = None,
    requirements: RequirementsOption = None,
    cpu: CpuOption = None,
    memory: MemoryOption = None,
    replicas: ReplicasOption = None,
    port: PortOption = None,
    dns_name_label: DnsOption = None,
    auth: AuthOption = None,
    primary_key: PrimaryOption = None,
    secondary_key: SecondaryOption = None,
    ssl_cert: CertOption = None,
    ssl_key: CertKeyOption = None,
    ssl_cname: CnameOption = None,
    env: EnvOption = None,
    tag: TagOption = None,
    overwrite: OverwriteOption = False,
    autoscale: AutoscaleOption = None,
    dry_run: DryRunOption = False,
    timeout: TimeoutOption = DEPLOY_LIMIT_S,
    further: Mapping[str, object] = _NOTHING,
) -> None:
    """Deploy a model as a service, and wait until it answers."""
    spec = Spec(
        name=name,
        model=model,
        target=target,
        model_name=model_name,
        script=_script(entry_script, requirements),
        aci=AciOptions(
            cpu=_DEFAULTS.cpu if cpu is None else cpu,
            memory_gb=_DEFAULTS.memory_gb if memory is None else memory,
            port=port,
            dns_name_label=dns_name_label,
        ),
        fpga=FpgaOptions(
            replicas=_FPGA.replicas if replicas is None else replicas,
            cpu=_FPGA.cpu if cpu is None else cpu,
            memory_gb=_FPGA.memory_gb if memory is None else memory,
        ),
        edge=iotedge.options(further),
        aks=aks.options(
            further,
            cpu_cores=cpu,
            memory_gb=memory,
            num_replicas=replicas if target is Target.AKS else None,
            autoscale_enabled=autoscale if target is Target.AKS else None,
        ),
        auth_enabled=auth,
        keys=_keys(primary_key, secondary_key),
        tls=_tls(ssl_cert, ssl_key, ssl_cname),
        environment=pairs("--env", env),
        tags=pairs("--tag", tag),
        overwrite=overwrite,
        autoscale=bool(autoscale),
        app_insights=further.get("app_insights") is True,
        collect_model_data=further.get("collect_model_data") is True,
    )
    if target is not Target.IOT_EDGE and iotedge.given_any(further):
        raise InvalidSpec(
            "--hub, --device, --source, --module, --module-env, --route and --create-options are for --target iotedge"
        )
    if dry_run:
        _rehearse(context, spec)
        return
    with context.backend(prepare=True) as backend:
        context.wait(backend.deploy(spec), timeout)
        service = wait_until_healthy(backend, target, name, timeout_s=min(timeout, HEALTHY_LIMIT_S))
        context.output.fields(service_fields(service), service_json(service))


def _rehearse(context: Context, spec: Spec) -> None:
    from windtunnel.adapters.azure import AzureBackend

    kind = registry.load(context.profile.backend)
    if not issubclass(kind, AzureBackend):
        raise InvalidSpec(f"--dry-run is not known to backend {context.profile.backend!r}")
    backend, rehearsal = kind.rehearse(context.profile)
    with backend:
        backend.deploy(spec).result(DEPLOY_LIMIT_S)
    print_calls(context.output, rehearsal.calls)


def list_services(context: Context) -> None:
    """List the services."""
    with context.backend() as backend:
        services = [s for target in targets_of(backend) for s in backend.list_services(target)]
    rows = [service_row(service) for service in services]
    context.output.rows(SERVICE_COLUMNS, rows, [service_json(service) for service in services])


def show(context: Context, name: NameArgument, target: TargetOption = Target.ACI) -> None:
    """Show one service."""
    with context.backend() as backend:
        service = backend.get(target, name)
    context.output.fields(service_fields(service), service_json(service))


def update(
    context: Context,
    name: NameArgument,
    target: TargetOption = Target.ACI,
    model: Annotated[Path | None, typer.Option("--model", help="Another ONNX file.")] = None,
    entry_script: EntryOption = None,
    requirements: RequirementsOption = None,
    auth: AuthOption = None,
    ssl_cert: CertOption = None,
    ssl_key: CertKeyOption = None,
    ssl_cname: CnameOption = None,
    env: EnvOption = None,
    tag: TagOption = None,
    cpu: Annotated[float | None, typer.Option("--cpu", help="Refused where a service cannot be resized.")] = None,
    memory: Annotated[float | None, typer.Option("--memory", help="Refused likewise.")] = None,
    replicas: ReplicasOption = None,
    autoscale: AutoscaleOption = None,
    timeout: TimeoutOption = DEPLOY_LIMIT_S,
    only_aks: Mapping[str, object] = _NOTHING,
) -> None:
    """Change a service that runs; what is not given stays as it is."""
    change = Change(
        model=model,
        script=_script(entry_script, requirements),
        environment=pairs("--env", env) if env else None,
        tags=pairs("--tag", tag) if tag else None,
        auth_enabled=auth,
        tls=_tls(ssl_cert, ssl_key, ssl_cname),
        cpu=cpu,
        memory_gb=memory,
        aks=aks.change(only_aks, num_replicas=replicas, autoscale_enabled=autoscale),
    )
    with context.backend() as backend:
        service = context.wait(backend.update(target, name, change), timeout)
        if not change.only_tags:
            service = wait_until_healthy(backend, target, name, timeout_s=min(timeout, HEALTHY_LIMIT_S))
    context.output.fields(service_fields(service), service_json(service))


def scale(
    context: Context,
    name: NameArgument,
    replicas: Annotated[int, typer.Option("--replicas", help="How many there are to be.")],
    target: TargetOption = Target.AKS,
    timeout: TimeoutOption = DEPLOY_LIMIT_S,
) -> None:
    """Set the number of replicas; where they followed the load, they no longer do."""
    with context.backend() as backend:
        context.wait(backend.scale(target, name, replicas), timeout)
        service = wait_until_healthy(backend, target, name, timeout_s=min(timeout, HEALTHY_LIMIT_S))
    context.output.fields(service_fields(service), service_json(service))


def delete(
    context: Context, name: NameArgument, target: TargetOption = Target.ACI, timeout: TimeoutOption = DEPLOY_LIMIT_S
) -> None:
    """Delete a service; this cannot be undone."""
    with context.backend() as backend:
        if not context.wait(backend.delete(target, name), timeout):
            context.output.done(f"No service with name {name} found to delete.", {"name": name, "deleted": False})
            return
    context.output.done(f"deleted service {name}", {"name": name, "deleted": True})


def service_logs(context: Context, name: str, target: Target, tail: int) -> None:
    """A service's own output (``windtunnel logs NAME``)."""
    with context.backend() as backend:
        context.output.log(backend.logs(target, name, tail=tail))


def _script(entry: Path | None, requirements: Path | None) -> Script | None:
    if entry is None and requirements is not None:
        raise InvalidSpec("--requirements is for an --entry-script, and none is given")
    return Script(entry=entry, requirements=requirements) if entry is not None else None


def _keys(primary: str | None, secondary: str | None) -> ChosenKeys | None:
    if primary is None and secondary is None:
        return None
    if primary is None or secondary is None:
        raise InvalidSpec("give both --primary-key and --secondary-key, or neither")
    return ChosenKeys(primary=primary, secondary=secondary)


def _tls(certificate: Path | None, key: Path | None, cname: str | None) -> Tls | None:
    if certificate is None and key is None and cname is None:
        return None
    if certificate is None or key is None or cname is None:
        raise InvalidSpec("SSL is enabled, you must provide a SSL certificate, key, and cname.")
    return Tls(certificate=certificate, key=key, cname=cname)
