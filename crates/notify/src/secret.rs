//! A text that must not be shown. It has no Debug, no Display and no Serialize, and is overwritten when it is dropped.

use zeroize::Zeroizing;

/// A password or a signing key.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; every use is a place to look at twice.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
