"""What is made of a release for other programs."""
