"""Two traces compared: the first step where they part, and the first cause of it."""
