"""What a recheck can say of a pair, besides `kind.HEALED`."""

FOOLED = "fooled"  # the target net misreads the twin
