"""Mainstay keeps a team's main branch standing and takes it to the machines that serve."""

__version__ = "0.1.0"
