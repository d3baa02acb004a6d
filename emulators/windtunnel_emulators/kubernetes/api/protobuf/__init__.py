"""Built-in objects in the protobuf form that Go clients send."""
