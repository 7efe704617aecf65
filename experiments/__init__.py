"""Entry points: compose a configuration, call the library, say where the result lies."""
