"""Configuration of the entry points; a package, so that an installed command finds it from any folder."""
