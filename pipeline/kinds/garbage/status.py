"""What a recheck can say of a garbage image, besides `kind.HEALED`."""

CERTAIN = "certain"  # the target net gives it its class with at least the run's [garbage] confidence
SAME_CLASS = "same class"  # or with less
