"""Image classifiers: architectures, training, loading, preflight checks, and groups of peers."""
