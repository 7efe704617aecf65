"""What explains a model instead of its own rationale."""
