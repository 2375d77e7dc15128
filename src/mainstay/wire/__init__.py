"""The messages and paths that processes share, and the one HTTP client."""
