"""Trades: the archive's files through this project and through a bare program; the API here and by ccxt."""
