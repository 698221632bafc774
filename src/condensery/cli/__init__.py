"""The command `condense`: argument -> call -> printed result; no logic."""
