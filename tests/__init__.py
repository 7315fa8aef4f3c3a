"""The tests of hive: a folder for each folder of hive/, and what looks at several of them at once."""
