"""An IoT Edge device: its agent, its hub, its workload API and its link to the cloud, in a process of its own.

The process shares nothing with the emulators but the wire: it goes on when they are gone.
"""
