"""News: one file for each way to items. See sources/feeds.py for how they are found."""
