"""What was rendered: fragments of templates and whole responses, kept as computed values are."""
