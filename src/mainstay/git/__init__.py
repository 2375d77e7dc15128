"""Every run of the git program, and what can be read of a repository without one. Knows nothing of builds."""
