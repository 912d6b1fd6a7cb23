//! Scrape.
