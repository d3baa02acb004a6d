"""Makes ``predict_pb2.py`` and its types from ``predict.proto``, here and for the client: ``python generate.py``.

protoc's own Python output refuses every protobuf that is older than itself, and TensorFlow's users have an old one; so
only its descriptor is taken, of which protobuf makes the classes when the module is imported. The client is another
package, which knows nothing of this one: it has a copy, and a test holds the two together. Needs grpcio-tools.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
CLIENT = HERE.parents[3] / "backends" / "windtunnel" / "prediction"
# The name under which the file is known in a process: no other package's predict.proto may meet it there.
KNOWN_AS = "windtunnel_prediction/predict.proto"
MESSAGES = ("TensorShape", "Tensor", "ModelSpec", "PredictRequest", "PredictResponse")


def generated() -> dict[str, str]:
    """The text of the two files, by name."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / KNOWN_AS
        source.parent.mkdir()
        shutil.copy(HERE / "predict.proto", source)
        descriptor = Path(folder) / "descriptor"
        options = [f"--proto_path={folder}", f"--descriptor_set_out={descriptor}", f"--pyi_out={folder}"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, str(source)], check=True)
        types = source.with_name("predict_pb2.pyi").read_text("utf-8")
        # Strict checkers want to know of what; and the style of what is generated is nobody's.
        types = "# ruff: noqa\n# fmt: off\n" + re.sub(r"_Mapping\]", "_Mapping[str, object]]", types)
        return {"predict_pb2.py": _module(descriptor.read_bytes()), "predict_pb2.pyi": types}


def _module(descriptors: bytes) -> str:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    (file,) = FileDescriptorSet.FromString(descriptors).file
    lines = "\n".join(f"    {line!r}" for line in _pieces(file.SerializeToString()))
    classes = "\n".join(f'{name} = GetMessageClass(DESCRIPTOR.message_types_by_name["{name}"])' for name in MESSAGES)
    return textwrap.dedent(
        '''\
        # fmt: off
        """Messages of the prediction service. Generated from predict.proto by generate.py: do not edit."""

        from google.protobuf.descriptor_pool import Default
        from google.protobuf.message_factory import GetMessageClass

        DESCRIPTOR = Default().AddSerializedFile(
        {lines}
        )
        {classes}
        '''
    ).format(lines=lines, classes=classes)


def _pieces(content: bytes, size: int = 40) -> list[bytes]:
    return [content[i : i + size] for i in range(0, len(content), size)]


def main() -> None:
    """Write the files."""
    for name, text in generated().items():
        for folder in (HERE, CLIENT):
            (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
