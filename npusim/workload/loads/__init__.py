"""Loads that are described, not recorded: sessions that come at random, with a seed, as requests of a trace."""
