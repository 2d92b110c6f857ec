//! The NATS client protocol: parsing, encoding, INFO and CONNECT.
