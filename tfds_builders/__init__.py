"""Builders of the TFDS datasets: one folder a dataset, in TFDS's standard form."""
