"""The runner: a process of its own that takes jobs, runs them, and delivers what came of them."""
