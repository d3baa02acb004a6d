"""A user's score.py: ``init()`` once, ``run()`` for each request."""
