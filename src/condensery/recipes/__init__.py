"""Recipes: the tables and figures of the papers, each with what it takes to fill it, ours beside theirs."""

from condensery.recipes.book import Recipe, get_recipe, recipes
from condensery.recipes.filled import Filled, Reproduction
from condensery.recipes.run import reproduce

__all__ = ["Filled", "Recipe", "Reproduction", "get_recipe", "recipes", "reproduce"]
