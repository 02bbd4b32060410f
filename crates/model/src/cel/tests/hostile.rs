//! Texts made to exhaust the stack, the memory or the clock.
