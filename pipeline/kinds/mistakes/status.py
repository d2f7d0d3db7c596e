"""What a recheck can say of a mistake, besides `kind.HEALED`."""

REMAINING = "remaining"  # the target net is wrong, and it alone
SHARED = "shared"  # and so is a peer
LOST = "lost"  # the target net is right, and a peer is wrong
