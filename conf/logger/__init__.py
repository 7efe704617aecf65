"""Where a run is shown besides its folder."""
