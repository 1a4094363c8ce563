"""Token ids in, distributions out. Knows llama.cpp; no Discord, no database.

A ``Model`` has a ``Vocabulary``; a ``Renderer`` turns a ``Conversation`` into a ``Prompt``; an ``Engine`` turns a
prompt into ``Step``s; ``TextStream`` and ``ReasoningSplitter`` turn their tokens into text.
"""

import os

# ggml's threads wait at barriers hundreds of times a step. On a machine of one's own spinning is best, beside busy
# neighbours sleeping is; libgomp's own spin of billions starves everybody, and the "passive" policy sleeps so soon
# that two threads are slower than one. A spin about as long as a barrier usually lasts (0.1 ms) is good for both.
# Nothing in this package can be imported before this line.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
