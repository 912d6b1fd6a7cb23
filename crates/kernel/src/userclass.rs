//! userclass
