//! Where the engine far away is: an address without its credentials, which are taken out before anybody can print it.

use url::Url;

use super::secret::Credential;

/// The addresses of one engine.
#[derive(Clone)]
pub struct Address {
    /// What `/api/v1/query` is appended to.
    pub read: Url,
    /// Where remote write goes.
    pub write: Url,
    /// What to show of itself.
    pub credential: Option<Credential>,
}

/// Why text is no address of an engine. The text is not repeated, since it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of the metrics engine {0}")]
pub struct AddressError(String);

impl Address {
    /// From `https://user:password@host:port/prefix`, or `https://bearer:TOKEN@…`; remote write goes to
    /// `prefix/api/v1/write` unless `write` says where.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong, without the text.
    pub fn parse(read: &str, write: Option<&str>) -> Result<Self, AddressError> {
        let (mut read, credential) = parse(read)?;
        let path = read.path().trim_end_matches('/').to_owned();
        read.set_path(&path);
        let (write, other) = match write {
            Some(text) => parse(text)?,
            None => (below(&read, "/api/v1/write"), None),
        };
        Ok(Self { read, write, credential: credential.or(other) })
    }

    /// The address of one of its questions.
    pub fn question(&self, path: &str) -> Url {
        below(&self.read, path)
    }

    /// How it is named in logs and errors.
    pub fn name(&self) -> String {
        self.read.to_string()
    }

    /// Whether credentials would travel readable to another machine.
    pub fn is_readable_on_the_way(&self) -> bool {
        let plain = |url: &Url| {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let near = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
            url.scheme() == "http" && !near
        };
        self.credential.is_some() && (plain(&self.read) || plain(&self.write))
    }
}

fn below(url: &Url, path: &str) -> Url {
    let mut out = url.clone();
    out.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    out
}

fn parse(text: &str) -> Result<(Url, Option<Credential>), AddressError> {
    let wrong = |why: &str| AddressError(why.to_owned());
    let mut url: Url = text.parse().map_err(|error| AddressError(format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("must begin with http:// or https:// and name a host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must end with its path: no ? and no #"));
    }
    let user = decoded(url.username()).ok_or_else(|| wrong("has a user's name that is no text"))?;
    let password =
        url.password().map(|p| decoded(p).ok_or_else(|| wrong("has a password that is no text"))).transpose()?;
    let credential = match password {
        Some(token) if user == "bearer" => Some(Credential::token("Bearer", &token)),
        Some(password) => Some(Credential::basic(&user, &password)),
        None if user.is_empty() => None,
        None => return Err(wrong("has a user's name and no password")),
    };
    // Neither can fail for a URL that has a host.
    let _ = (url.set_password(None), url.set_username(""));
    Ok((url, credential))
}

/// Percent signs undone; none when that is no text.
fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, more @ ..] = rest {
        let hex = (*first == b'%').then(|| more.get(..2).and_then(|h| std::str::from_utf8(h).ok())).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &more[2..];
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_the_address() {
        let table = [
            ("http://h:8428", None, "http://h:8428/", "http://h:8428/api/v1/write", None),
            ("https://h/prom/", None, "https://h/prom", "https://h/prom/api/v1/write", None),
            ("http://mia:a%40b@h/", None, "http://h/", "http://h/api/v1/write", Some("Basic bWlhOmFAYg==")),
            ("http://bearer:tok@h/q", Some("http://h/push"), "http://h/q", "http://h/push", Some("Bearer tok")),
        ];
        for (read, write, name, to, header) in table {
            let address = Address::parse(read, write).unwrap();
            assert_eq!((address.name().as_str(), address.write.as_str()), (name, to));
            let shown = address.credential.map(|c| c.header().unwrap().to_str().unwrap().to_owned());
            assert_eq!(shown.as_deref(), header);
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_being_repeated() {
        for text in ["hunter2", "ftp://hunter2@h", "http://hunter2@h", "http://h/?p=hunter2", "http://:hunter2"] {
            let error = Address::parse(text, None).err().unwrap().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_in_the_clear_is_noticed() {
        let readable = |text| Address::parse(text, None).unwrap().is_readable_on_the_way();
        assert!(readable("http://a:b@far.example/"));
        assert!(
            !readable("https://a:b@far.example/")
                && !readable("http://a:b@127.0.0.1/")
                && !readable("http://far.example/")
        );
    }
}
