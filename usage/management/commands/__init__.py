"""Management commands: the demo world and the trace replay."""
