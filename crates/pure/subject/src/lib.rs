//! Subjects: names, tokens, wildcards and transforms.
