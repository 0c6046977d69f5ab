"""Integer money: what a call cost, in nano-dollars. Pure."""
