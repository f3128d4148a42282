"""The process that does the work: Temporal workers with as many slots as the machine can carry."""
