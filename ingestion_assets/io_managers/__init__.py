"""How what assets return is kept, and how it is given to those that build on it."""
