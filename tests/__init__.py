"""Tests, as a package that a run can be told to trust."""
