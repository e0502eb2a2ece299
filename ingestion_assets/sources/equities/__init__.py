"""Shares: one file for each way to a vendor's data, and the hours in which they are traded."""
