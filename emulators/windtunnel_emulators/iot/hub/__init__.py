"""One IoT hub: who may connect, what is kept for whom, and what passes through."""
