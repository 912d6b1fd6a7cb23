//! know
