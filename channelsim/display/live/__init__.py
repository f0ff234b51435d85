"""The live view: a debugger for the wire, which reads the ledger of a run from another process.

`reader` asks the ledger, a feed (`following`, `playback`) decides what is read when, `figures` and
`timeline` keep sums, `model` is what a view knows at one moment; the modules that draw turn it into
text of a given size, and `app` puts the text on a terminal.

Why textual and not rich alone: keys, the mouse, resizing, the alternate screen, terminals without
colour and pictures of the screen belong to a real application, and nobody should write those by
hand. Everything drawn is rich text of a stated size, so frames can be tested without a terminal.

Nothing in this package writes to a run, and nothing here imports torch but the child process of
`recompute`, which starts when a picture is asked for.
"""
