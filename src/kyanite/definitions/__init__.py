"""Definitions: JSON documents read into a frozen model, ARM templates evaluated, factories checked. Pure."""
