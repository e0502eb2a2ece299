"""Perpetual futures: one file for each way to a venue's data. See sources/feeds.py for how they are found."""
