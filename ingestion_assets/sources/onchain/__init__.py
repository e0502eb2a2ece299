"""What stands in blockchains: one file for each vendor."""
