"""From a schedule to instructions: drafts whose addresses are names, and the tokens between engines."""
