"""Retraining on adversarial pairs."""
