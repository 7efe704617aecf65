"""Rationalization of graphs, on the contract of `rationalizers`."""
