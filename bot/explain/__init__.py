"""Recorded predictions in, explanations out. No Discord, no database, and a model only where a proof needs one.

Data first: `turn.Turn` is the record, `explanation.explain(turn)` arranges it, `view` opens one step, `branches`
compares two replies. Drawn from that data: `text` and `lines` (terminal), `sheet` and `picture` (PNG, drawn by
`picture_process` beside the event loop), `page` (one HTML file), `json`. Recomputed, and labelled so: `proof` and
`certificate`, `loss`, `tour`.

Import from the modules themselves: the store needs `turn` alone, and should not load fonts for it.
"""
