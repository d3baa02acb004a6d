"""IoT Hub's query language over twins, module twins and jobs. It knows documents, and nothing of a hub."""
