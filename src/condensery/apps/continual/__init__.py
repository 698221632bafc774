"""Continual learning: a stream of tasks, a learner that sees each once, and a memory of what was before."""
