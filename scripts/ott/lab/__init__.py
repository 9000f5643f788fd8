"""How fast the project is, and whether its statistics keep what they promise."""
