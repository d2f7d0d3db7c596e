"""Nets made better: recipes that train on mined datasets, and what they are worth beside cheaper ways."""
