"""The keeper: one small child process of the emulators that is the parent of every container.

It forks the containers, so that the emulators (threads, event loop, sockets) never do; it tells how they ended; and
when its connection to the emulators closes, for whatever reason, it kills them all. It runs with nothing but the
standard library (``python -I -S``): modules of this package import nothing else and are kept cheap to import.
"""
