"""Ends in other processes: children, forks, kills, signals."""
