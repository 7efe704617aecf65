"""How units become states."""
