"""Stand-ins for a few public images that tutorials use, for machines that cannot pull or run the real ones.

What each is, and the sentence that says so to the user, is in ``catalogue.toml``; ``programs/`` is what they execute.
"""
