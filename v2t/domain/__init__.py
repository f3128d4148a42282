"""Facts and rules of transcription: no I/O, clock, environment, logging or randomness."""
