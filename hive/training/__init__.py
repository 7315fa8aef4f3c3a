"""Training: what users subclass, and what runs it.

`trainer` is the class users write, `data` what they may build on, `executor` runs one trainer through batches of
stages, `reports` is what goes in and comes out of it. Nothing here knows of messages, leases' terms, plans or other
processes.
"""
