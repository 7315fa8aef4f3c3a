"""The rules of the design as tests: who imports whom, and how long things may be."""
