"""Resource providers, a folder each, which exports ``PROVIDER``. Adding a provider is adding a folder."""
