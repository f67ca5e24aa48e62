"""What a person types in: the magic, the widget and the one bridge between threads."""
