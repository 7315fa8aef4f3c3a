"""Searches in virtual time: the paper's tables, forecasts, and what goes wrong.

It must not know how a command line is read.
"""
