"""Questions to rationales of language models whose answer is known: passages, agreement, alignment, crossed sentences."""
