"""Read-only queries for lists and pages. No decision is made here: states of jobs are handed up, and folded there.

Every query reads a bounded number of rows by an index, whatever the length of the history.
"""
