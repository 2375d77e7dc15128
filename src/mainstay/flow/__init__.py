"""The verbs: pure decisions of a snapshot and a time. No await, clock, randomness, logging or files."""
