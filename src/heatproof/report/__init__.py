"""What people look at: overlays, plots, bundles; the only place where maps are scaled for display."""
