"""Real processes, sockets and files: what the fakes assume, checked."""
