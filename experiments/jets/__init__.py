"""Jets of pions as clouds of four-momenta, boosted at test time."""
