"""Token ids in, distributions out. Knows llama.cpp; no Discord, no database.

A ``Model`` has a ``Vocabulary``; a ``Renderer`` turns a ``Conversation`` into a ``Prompt``; an ``Engine`` turns a
prompt into ``Step``s; ``TextStream`` and ``ReasoningStream`` turn their tokens into text.
"""

import os

# ggml's threads spin at barriers unless told otherwise before llama.cpp loads; on a busy machine that starves
# everybody, us most of all. Nothing in this package can be imported before this line.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# But a barrier is usually over at once: a short spin before sleeping triples the speed of two threads.
os.environ.setdefault("GOMP_SPINCOUNT", "300")
