"""Transfer learning as the FPGA service offered it: a frozen featurizer on the device, a small head on the CPU.

A worked example on real handwritten digits: ``python -m windtunnel_emulators.brainwave.transfer`` prints the document
``docs/fpga-transfer-learning.md``. It needs scikit-learn, which has the digits.
"""

from __future__ import annotations
