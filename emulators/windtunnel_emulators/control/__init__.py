"""The control API of the emulators, mounted at ``/_windtunnel`` when it is first used."""
