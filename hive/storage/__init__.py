"""What outlives a process: records in a store, checkpoint files, and the folder (root) that holds both.

This package must not know what a plan, an actor or a tuner is.
"""

__all__: list[str] = []
