"""The jobs of corpus-embed: options, runners and environment in, no logic."""
