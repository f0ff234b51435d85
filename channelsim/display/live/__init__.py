"""The live view: a debugger for the wire, which reads the ledger of a run from another process.

`reader` queries the ledger, a feed (`following`, `playback`) schedules the reads, `figures` and
`timeline` keep sums, `model` is the state of a view; the drawing modules turn it into text of a
given size, and `app` puts the text on a terminal.

Why textual and not rich alone: it handles keys, the mouse, resizing, the alternate screen,
terminals without colour and screenshots. Everything drawn is rich text of a stated size, so frames
can be tested without a terminal.

Nothing in this package writes to a run, and nothing here imports torch but the child process of
`recompute`, which starts when a picture is asked for.
"""
