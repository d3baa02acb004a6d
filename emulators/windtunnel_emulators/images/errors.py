"""What can go wrong with images; every message is a sentence for the user that names the value and the way out.

ImageProblem
+-- ReferenceProblem      an image reference that is not one
+-- DockerfileError       a Dockerfile that is wrong or goes beyond the subset; has the line
+-- ArchiveError          a tar archive or layer that is damaged, unsafe or over a limit
+-- EnvironmentError_     Python packages that could not be had
+-- BaseError             a base image whose promise this machine cannot keep
+-- BuildError            a build that failed; its sentence is in the build's log already
"""

from __future__ import annotations

WAY_OUT = "start the emulators with --runtime docker"
"""Where to go with an image or a Dockerfile that is beyond what works without Docker."""


class ImageProblem(Exception):
    """Anything about an image that is refused or failed."""


class ReferenceProblem(ImageProblem):
    """An image reference that is not one."""


class DockerfileError(ImageProblem):
    """A Dockerfile that is wrong or goes beyond the subset; ``line`` counts from 1, 0 is the file as a whole."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(f"Dockerfile line {line}: {message}" if line else f"Dockerfile: {message}")
        self.line = line


class ArchiveError(ImageProblem):
    """A tar archive or layer that is damaged, unsafe or over a limit."""


class EnvironmentError_(ImageProblem):
    """Python packages that could not be had."""


class BaseError(ImageProblem):
    """A base image whose promise this machine cannot keep."""


class BuildError(ImageProblem):
    """A build that failed; its sentence is in the build's log already."""
