"""The commands: they read arguments and files, and hand over. Nothing below imports them."""
