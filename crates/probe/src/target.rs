//! Target: what users write to say where: `host`, `host:port`, `[::1]:443`, a web address. Pure text.

use std::net::{IpAddr, Ipv6Addr};

use url::Url;

/// A host and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// None when the text had none.
    pub port: Option<u16>,
}

impl HostPort {
    /// The text that names it, with the port: `[::1]:443`.
    pub fn with_port(&self, port: u16) -> String {
        if self.host.contains(':') { format!("[{}]:{port}", self.host) } else { format!("{}:{port}", self.host) }
    }
}

/// Reads `example.org`, `example.org:80`, `192.0.2.1:80`, `::1` or `[::1]:80`.
///
/// # Errors
/// A sentence that names the text and says what a target looks like.
pub fn parse_host_port(bytes: &[u8]) -> Result<HostPort, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a target is text in UTF-8".to_owned())?;
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) =
            rest.split_once(']').ok_or_else(|| format!("{text:?} lacks the ] after the IPv6 address"))?;
        host.parse::<Ipv6Addr>().map_err(|_| format!("{host:?} is no IPv6 address"))?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or("?")) })
    } else if text.parse::<Ipv6Addr>().is_ok() {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    check_host(host)?;
    let port = match port {
        None => None,
        Some(port) => Some(
            port.parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| format!("{port:?} in {text:?} is no port; ports are 1 to 65535"))?,
        ),
    };
    Ok(HostPort { host: host.to_owned(), port })
}

fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("no host is named; write a name or an address".to_owned());
    }
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if !host.is_ascii() {
        return Err(format!("{host:?} is not ASCII; write an international name in its xn-- form"));
    }
    let fits = host.len() <= 253
        && host.trim_end_matches('.').split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    if fits { Ok(()) } else { Err(format!("{host:?} is neither a host name nor an address")) }
}

/// Reads a web address: `http` or `https`, a host, no user name or password.
///
/// # Errors
/// A sentence that names the text and what is wrong with it.
pub fn parse_web_address(bytes: &[u8]) -> Result<Url, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a web address is text in UTF-8".to_owned())?;
    let url = Url::parse(text)
        .map_err(|why| format!("{text:?} is no web address ({why}); write for example https://example.org/"))?;
    check_web_address(&url)?;
    Ok(url)
}

pub(crate) fn check_web_address(url: &Url) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{:?} is not http or https", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the web address names no host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a web address must not carry a user name or password; send an Authorization header".to_owned());
    }
    Ok(())
}

/// The host that a target of any form names: without scheme, user, port and path. The whole text where none can be told.
pub fn host_of(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if let Some(address) = rest.strip_prefix('[') {
        return address.split(']').next().unwrap_or(address);
    }
    match rest.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_is_found_in_targets_of_every_form() {
        for (target, host) in [
            ("db-1.example.org:5432", "db-1.example.org"),
            ("https://shop.example.org:8443/a?b=c:d", "shop.example.org"),
            ("https://mia@shop.example.org/", "shop.example.org"),
            ("[2001:db8::1]:22", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
        ] {
            assert_eq!(host_of(target), host, "{target}");
        }
    }

    #[test]
    fn targets_read_as_they_are_written() {
        for (text, host, port) in [
            ("example.org", "example.org", None),
            ("example.org:80", "example.org", Some(80)),
            ("192.0.2.1:443", "192.0.2.1", Some(443)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[2001:db8::1]:22", "2001:db8::1", Some(22)),
            ("my_host.internal.", "my_host.internal.", None),
        ] {
            assert_eq!(parse_host_port(text.as_bytes()), Ok(HostPort { host: host.into(), port }), "{text}");
        }
    }

    #[test]
    fn a_wrong_target_is_refused_with_its_text() {
        for (text, part) in [
            ("", "no host"),
            ("example.org:", "no port"),
            ("example.org:0", "no port"),
            ("example.org:65536", "no port"),
            ("[::1", "lacks the ]"),
            ("[::1]80", "no port"),
            ("[nonsense]:80", "no IPv6"),
            ("a b", "neither"),
            ("-oProxyCommand", "neither"),
            ("bücher.example", "xn--"),
            ("a..b", "neither"),
        ] {
            let error = parse_host_port(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_web_address_has_a_host_and_no_password() {
        assert!(parse_web_address(b"https://example.org:8443/a?b=c").is_ok());
        assert!(parse_web_address(b"http://[::1]:80/").is_ok());
        for text in
            ["example.org", "ftp://example.org/", "http://", "https://me:secret@example.org/", "file:///etc/passwd"]
        {
            assert!(parse_web_address(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_target_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "\\PC{0,40}") {
            let _ = parse_host_port(&bytes);
            let _ = parse_host_port(text.as_bytes());
            let _ = parse_web_address(&bytes);
            let _ = parse_web_address(text.as_bytes());
        }
    }
}
