"""The app whose rows every contender reads."""
