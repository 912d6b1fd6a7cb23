//! Channels as they are written: what would fail when a page is sent is refused when it is entered.
