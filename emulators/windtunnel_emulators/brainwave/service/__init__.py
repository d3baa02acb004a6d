"""The prediction service: gRPC as TensorFlow Serving speaks it, in front of an emulated device.

Both generations of Microsoft's client work with it unmodified: the preview's (``images`` in, ``output_alias`` out) and
that of azureml-accel-models (the model's own names). It is what an accelerated image runs.
"""

from __future__ import annotations
