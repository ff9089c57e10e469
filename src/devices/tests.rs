//! The links against a real broker and a pseudo-terminal.
