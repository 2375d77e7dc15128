"""The server's loops: what watches, decides by `flow/`, writes by `store/` and wakes who waits."""
