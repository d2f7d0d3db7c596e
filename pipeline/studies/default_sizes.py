"""How large changes are that a study shows, if nothing else is asked for: distortions, pixels in [0, 1]."""

RESCALED = (0.1,)  # to which perturbations are rescaled
NOISE = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
