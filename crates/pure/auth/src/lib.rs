//! Who may do what: keys, passwords, permissions and login decisions.
