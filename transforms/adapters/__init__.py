"""The outside: files, detectors, models, Milvus. Heavy imports live only here; nothing here knows Beam."""
