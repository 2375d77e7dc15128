"""The command line: commands, settings, terminal output. It puts the other rooms together; nothing imports it."""
