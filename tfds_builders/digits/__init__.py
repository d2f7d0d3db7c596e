"""The dataset `digits`."""
