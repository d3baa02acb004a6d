"""Which pods answer for which service: EndpointSlices, and the Endpoints that older clients read."""
