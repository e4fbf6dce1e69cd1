"""How many logits a training holds at once. Apart, since plans count with it and import no torch."""

AT_ONCE = 2**25
"""At most: 128 MiB in fp32, 220 places of a vocabulary of 150,000."""
