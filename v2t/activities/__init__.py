"""The steps that touch the world: classes that take ports, and know no adapter."""
