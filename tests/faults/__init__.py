"""Faults put into the code one at a time, to see that the tests notice them: `python -m tests.faults --help`."""
