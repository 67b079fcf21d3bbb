"""What a block shows, and how often it was rendered."""


class Show:
    """Counts how often it is shown."""

    def __init__(self):
        self.times = 0

    def __str__(self):
        self.times += 1
        return f"<{self.times}>"
