"""Tests of hive/planner, and the strategies that draw its sequences."""
