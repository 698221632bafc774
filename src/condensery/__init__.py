"""condensery: condense labelled images into a tiny synthetic training set."""
