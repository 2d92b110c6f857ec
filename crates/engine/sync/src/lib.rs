//! The only shared-memory tools: ranked locks, mailboxes, counters.
