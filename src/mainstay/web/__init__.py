"""HTTP: the runner protocol, the JSON API, pages, git and webhooks. No decisions and no SQL."""
