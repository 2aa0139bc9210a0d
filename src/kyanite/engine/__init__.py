"""The pure core of a run: events in, commands out.

`RunState` is the fold of a run's events; `decide` takes the state and the runtime's reports and returns new events and
commands. Nothing here reads a clock, a file or the network: time and randomness are arguments.
"""
