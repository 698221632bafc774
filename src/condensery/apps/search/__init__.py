"""Architecture search: many networks are trained on a proxy of the training set, and the best are looked at closely."""
