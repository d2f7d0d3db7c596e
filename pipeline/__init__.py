"""From trained classifiers and a dataset to versioned datasets of their mistakes."""
