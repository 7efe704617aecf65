"""Corpora and the data module."""
