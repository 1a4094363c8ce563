"""Two fonts that always travel along, unchanged, so that a picture needs none of the machine's."""
