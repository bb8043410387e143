"""Models and selections as text for people."""
