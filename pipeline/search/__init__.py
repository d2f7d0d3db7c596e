"""The searches: the lane runner that drives them, the hillclimb, and what they do to one work unit."""
