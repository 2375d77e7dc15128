"""The nouns: frozen values, enums, closed unions of events and effects. Standard library only."""
