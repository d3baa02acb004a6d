"""What the router itself answers. Sentences and codes are those of ``azureml-fe``, where they were seen."""

from __future__ import annotations

from typing import Final

from windtunnel_scoring.asgi import Response

TEXT: Final = "text/plain; charset=utf-8"
CLOSED: Final = "Replica closed connection before replying"


def text(status: int, sentence: str) -> Response:
    """A sentence."""
    return Response(status=status, body=sentence.encode(), headers=(("content-type", TEXT),))


def unauthorized(reason: str) -> Response:
    """401, with what a client can do about it; never with what was sent."""
    sentence = (
        "No authorization header is present: send 'Authorization: Bearer <key or token>'"
        if reason == "no key"
        else "The key or token in the authorization header is not valid"
    )
    return text(401, sentence).with_headers(("www-authenticate", "Bearer"))


def unknown_path() -> Response:
    """404 for a path that is no service's."""
    return text(404, "There is nothing here; services are at /api/v1/service/<name>/score")


def unknown_service(name: str) -> Response:
    """404 for a service that the cluster does not have."""
    return text(404, f"Service {name[:64]} is not found")


def unknown_version(service: str, version: str) -> Response:
    """404 for a version that was asked for by header."""
    return text(404, f"Deployment name {version[:64]} not found for service {service}")


def not_allowed() -> Response:
    """405: only GET and POST go to containers, so a preflight fails unless the service has CORS."""
    return text(405, "Only GET and POST are passed on").with_headers(("allow", "GET, POST"))


def too_large(most: int) -> Response:
    """413."""
    return text(413, f"The request is larger than {most} bytes")


def overloaded(service: str) -> Response:
    """503 after the wait in the queue."""
    return text(503, f"Too many requests for service {service} (overloaded)").with_headers(("retry-after", "1"))


def no_replicas(service: str) -> Response:
    """503 while nothing is ready."""
    return text(503, f"No ready replicas for service {service}").with_headers(("retry-after", "1"))


def closed() -> Response:
    """502 when a replica broke off."""
    return text(502, CLOSED)


def timed_out(service: str, limit_ms: int) -> Response:
    """504."""
    return text(504, f"The scoring request of service {service} took longer than {limit_ms} ms")
