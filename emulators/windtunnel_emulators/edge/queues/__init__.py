"""Store and forward: the messages of an edge device, on disk until they are delivered."""

from windtunnel_emulators.edge.queues.queues import DurableQueues, Tally

__all__ = ["DurableQueues", "Tally"]
