//! Credentials: a header that is sent to one engine and nowhere else. No `Debug`, no `Display`, no `Serialize`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

/// What is sent as `Authorization`. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// A user's name and password.
    pub fn basic(user: &str, password: &str) -> Self {
        let pair = Zeroizing::new(format!("{user}:{password}"));
        Self(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))))
    }

    /// A token of some scheme, mostly `Bearer`.
    pub fn token(scheme: &str, token: &str) -> Self {
        Self(Zeroizing::new(format!("{scheme} {}", token.trim())))
    }

    /// From a file's text: `basic USER:PASSWORD` or `bearer TOKEN`.
    ///
    /// # Errors
    /// A sentence that does not say what is in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is neither `basic USER:PASSWORD` nor `bearer TOKEN`".to_owned();
        let (scheme, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        match (scheme.to_ascii_lowercase().as_str(), rest.trim().split_once(':')) {
            ("basic", Some((user, password))) => Ok(Self::basic(user, password)),
            ("bearer", _) => Ok(Self::token("Bearer", rest)),
            _ => Err(wrong()),
        }
    }

    /// The header, marked so that no log shows it.
    ///
    /// # Errors
    /// It holds characters that no header can.
    pub fn header(&self) -> Result<HeaderValue, String> {
        let mut value =
            HeaderValue::from_str(&self.0).map_err(|_| "the credentials cannot be sent in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_credentials_is_read_and_never_told_of() {
        for (text, expected) in [("basic mia:pa:ss\n", "Basic bWlhOnBhOnNz"), ("Bearer  abc\n", "Bearer abc")] {
            let header = Credential::parse(text).ok().unwrap().header().unwrap();
            assert_eq!(header.to_str().unwrap(), expected);
            assert!(header.is_sensitive());
        }
        for text in ["hunter2", "basic hunter2", "digest hunter2:x", ""] {
            let error = Credential::parse(text).err().unwrap();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
