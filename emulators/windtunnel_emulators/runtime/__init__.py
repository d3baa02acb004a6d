"""How containers run: the interface, the process and docker runtimes, and the supervisor of a group of containers."""
