"""Jobs: small records with a key, the machines that do them, and the folders that hold what came of them."""
