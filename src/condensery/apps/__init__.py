"""What condensed sets are for: continual learning, architecture search, hyper-parameters."""
