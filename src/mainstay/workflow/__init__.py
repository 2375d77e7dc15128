"""Workflow file -> plan: parsing, expressions, matrix, triggers, detection. Pure: it is given bytes."""
