//! Whole-server runs beside the reference server, and instruction counts.
