"""Metrics: sufficient statistics in, numbers out; they never call a model."""
