"""Every error that hive raises on purpose.

The tree, by who can mend it:

    HiveError
    ├── UsageError           what the user wrote: an argument, a file, a command line
    │   ├── SequenceError    a sequence's parameter, or a descriptor
    │   ├── SpaceError       a space, a condition, a config that does not fit the study
    │   └── StudyError       a study file, a study's or a tuner's settings, how a run was started
    ├── TrainingError        the user's training code raised, exited or was killed
    ├── CheckpointError      a state that cannot be stored, a checkpoint that cannot be read
    ├── StoreError           the root: held by another run, unwritable, not a store, a commit in doubt
    └── ProtocolError        a peer's bytes: unknown kind, wrong type, too long, another version

A message says what was wrong, where, and what to do. This module must not import any other part of hive.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "HiveError",
    "ProtocolError",
    "SequenceError",
    "SpaceError",
    "StoreError",
    "StudyError",
    "TrainingError",
    "UsageError",
]


class HiveError(Exception):
    """The root of the tree: catch it to catch all that hive raises on purpose."""


class UsageError(HiveError, ValueError):
    """Something the user wrote is wrong; the message names it."""


class SequenceError(UsageError):
    """A sequence's parameter breaks its rule, or a descriptor is none."""


class SpaceError(UsageError):
    """A space, a condition or a config is wrong."""


class StudyError(UsageError):
    """A study file, a study or a tuner is wrong, or a run was started in a way that cannot work."""


class TrainingError(HiveError):
    """The user's training code failed; the message is its own traceback, from its own frames."""


class CheckpointError(HiveError):
    """A state cannot be stored as a checkpoint, or a checkpoint file is missing or damaged."""


class StoreError(HiveError):
    """The root cannot be used: held by another run, not writable, not a store, or a commit failed or is in doubt."""


class ProtocolError(HiveError):
    """A peer sent something that is not a message of this protocol version."""
