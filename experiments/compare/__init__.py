"""One small network under several symmetries: same data, same sizes, same number of steps."""
