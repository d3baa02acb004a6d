"""What Kubernetes objects are: kinds, fields, defaults, rules, patches, selectors, tables; data and pure functions."""
