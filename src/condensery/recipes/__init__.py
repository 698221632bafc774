"""Recipes: the tables and figures of the papers, filled with numbers of our own beside theirs."""

from condensery.recipes.catalog import Recipe, get_recipe, recipes
from condensery.recipes.output import ReproducedCell, Reproduction
from condensery.recipes.run import reproduce

__all__ = ["Recipe", "ReproducedCell", "Reproduction", "get_recipe", "recipes", "reproduce"]
