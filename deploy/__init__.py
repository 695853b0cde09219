"""Everything that puts the pipeline somewhere: images, schedules, collections, and a local stand-in for the model."""
