"""What stays open: whether a step looks ahead inside. Both sides; docs/statelessness.md links the sources."""

OPEN_QUESTION = (
    "That the loop keeps no state says nothing about what a single step computes.",
    "Do its internals look ahead?",
    "For: from one hidden state, tokens after the next can be read off (Pal et al.,",
    "  “Future Lens”, CoNLL 2023, arXiv:2311.04897), from a prompt's, properties of",
    "  the whole reply (Dong et al., “Emergent Response Planning in LLMs”, ICML",
    "  2025, arXiv:2502.06258). In Claude 3.5 Haiku, features for a rhyme were",
    "  active before its line was written, and changing them changed the line",
    "  (Lindsey et al., “On the Biology of a Large Language Model”, 2025).",
    "Otherwise: in small models much of that can be because what serves the next",
    "  token serves later ones too (Wu, Morris, Levine, “Do language models plan",
    "  ahead for future tokens?”, 2024, arXiv:2404.00859). Gemma-2-2B writes such",
    "  rhymes by improvising (Nainani et al., “Detecting and Characterizing",
    "  Planning in Language Models”, 2025, arXiv:2508.18098). And training on the",
    "  next token alone can fail to teach a task whose first step needs the last",
    "  (Bachmann, Nagarajan, “The Pitfalls of Next-Token Prediction”, ICML 2024,",
    "  arXiv:2403.06963).",
    "This program measures predictions: no hidden state, no attention, no feature,",
    "nor what any of them cause. docs/statelessness.md has the sources with links.",
)
