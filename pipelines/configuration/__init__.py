"""How a run is configured: options as they are defined, flags and TOML in, a frozen configuration out."""
