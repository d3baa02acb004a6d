"""``cluster``: the AKS cluster of a profile: ``create``, ``show``, ``attach``, ``detach``, ``delete``."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from typing import TYPE_CHECKING, Annotated

import typer

from windtunnel.aks_options import Purpose
from windtunnel.cli.context import Context
from windtunnel.cli.options import TimeoutOption, command
from windtunnel.errors import InvalidSpec
from windtunnel.interface import Backend
from windtunnel.operation import BackgroundOperation

if TYPE_CHECKING:
    from windtunnel.adapters.aks_cluster import Cluster, Clusters
    from windtunnel.jsontypes import JsonObject

CREATE_LIMIT_S = 3600.0
ReferenceArgument = Annotated[str, typer.Argument(help="Its name, or its resource id.", metavar="CLUSTER")]
ClusterArgument = Annotated[
    str | None, typer.Argument(help="Its name; default: the profile's.", metavar="[CLUSTER]", show_default=False)
]
PurposeOption = Annotated[Purpose, typer.Option("--purpose", help="What it is for.", show_default=True)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    cluster = typer.Typer(name="cluster", help="The AKS cluster of a profile.", no_args_is_help=True)
    command(cluster, "create")(create)
    command(cluster, "show")(show)
    command(cluster, "attach")(attach)
    command(cluster, "detach")(detach)
    command(cluster, "delete")(delete)
    app.add_typer(cluster)


def create(context: Context, timeout: TimeoutOption = CREATE_LIMIT_S) -> None:
    """Make the profile's cluster, without a service; the first deployment does so too."""
    with context.backend(prepare=True) as backend:
        clusters = _clusters(backend)
        work = BackgroundOperation(f"creation of cluster {clusters.settings.name!r}", clusters.create)
        _print(context, context.wait(work, timeout))


def show(context: Context, name: ClusterArgument = None) -> None:
    """Show a cluster that is used."""
    with context.backend() as backend:
        _print(context, _clusters(backend).require(name))


def attach(context: Context, cluster: ReferenceArgument, purpose: PurposeOption = Purpose.FAST_PROD) -> None:
    """Use a cluster that somebody else made; it has to have 12 virtual CPUs, unless it is for DevTest."""
    with context.backend(prepare=True) as backend:
        _print(context, _clusters(backend).attach(cluster, purpose))


def detach(context: Context, name: ClusterArgument = None) -> None:
    """Let go of an attached cluster; it and what runs on it stay as they are."""
    with context.backend() as backend:
        clusters = _clusters(backend)
        found = name or clusters.settings.name
        clusters.detach(found)
    context.output.done(f"detached cluster {found}", {"name": found, "detached": True})


def delete(context: Context, name: ClusterArgument = None, timeout: TimeoutOption = CREATE_LIMIT_S) -> None:
    """Delete a cluster that Windtunnel made, with every service on it; this cannot be undone."""
    with context.backend() as backend:
        clusters = _clusters(backend)
        found = name or clusters.settings.name
        if not context.wait(clusters.delete(found), timeout):
            context.output.done(f"No cluster with name {found} found to delete.", {"name": found, "deleted": False})
            return
    context.output.done(f"deleted cluster {found}", {"name": found, "deleted": True})


def _clusters(backend: Backend) -> "Clusters":
    from windtunnel.adapters.azure import AzureBackend

    if not isinstance(backend, AzureBackend):
        raise InvalidSpec(f"backend {backend.name!r} has no AKS clusters")
    return backend.clusters


def _print(context: Context, cluster: "Cluster") -> None:
    pools: JsonObject = {name: {"count": count, "vmSize": size} for name, count, size in cluster.pools}
    context.output.fields(
        {
            "name": cluster.name,
            "state": cluster.provisioning,
            "power": cluster.power,
            "purpose": cluster.purpose.value,
            "attached": "yes" if cluster.attached else "no, made here",
            "kubernetes": cluster.version,
            "pools": ", ".join(f"{name}: {count} x {size}" for name, count, size in cluster.pools),
            "virtual CPUs": cluster.vcpus,
            "location": cluster.location,
            "id": cluster.id,
        },
        {
            "name": cluster.name,
            "provisioningState": cluster.provisioning,
            "powerState": cluster.power,
            "purpose": cluster.purpose.value,
            "attached": cluster.attached,
            "kubernetesVersion": cluster.version,
            "pools": pools,
            "vcpus": cluster.vcpus,
            "location": cluster.location,
            "id": cluster.id,
        },
    )
