//! What is found in files of every kind.
