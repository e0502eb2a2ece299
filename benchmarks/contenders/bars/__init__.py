"""Features, aggregates and statistics of bars as others make them. Imported where they are measured."""
