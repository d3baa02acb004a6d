"""An ONNX model without a script."""
