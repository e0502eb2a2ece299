"""What people post: one file for each vendor."""
