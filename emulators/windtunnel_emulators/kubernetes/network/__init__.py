"""How pods are reached: their addresses, the names and variables of Services, and the proxy in front of them."""
