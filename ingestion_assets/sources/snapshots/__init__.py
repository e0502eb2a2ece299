"""What providers show of a market at the moment of asking, and of its past: one file for each provider."""
