"""Many methods, budgets, networks and seeds on one data set: the cells, and the machines that fill them."""
