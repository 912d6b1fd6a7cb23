//! Signature: from what was seen of a service to what it is. Pure; the first signature that fits is taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::params::Pattern;

/// What was seen of one open port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// What it said by itself, or when asked; the first 4 KiB.
    pub banner: Vec<u8>,
    /// The web page it served.
    pub page: Option<Page>,
    /// The certificate it showed.
    pub certificate: Option<ShownCertificate>,
}

/// A web page, the first 64 KiB of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The title, without blanks around it.
    pub title: String,
    /// The page itself.
    pub body: Vec<u8>,
}

/// What matters of a certificate and its handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShownCertificate {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Names it is for, at most 20.
    pub names: Vec<String>,
    /// Until when it is valid, RFC 3339.
    pub not_after: String,
    /// The version that was agreed on: `TLSv1_3`.
    pub version: String,
}

/// What a service is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// The protocol's word: `ssh`, `http`; `unknown` when nothing fits.
    pub service: String,
    /// The program, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product: String,
    /// Who makes it, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// What such a device is for, where the service tells.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// `version`, `os`, `model`, `name`, as far as they were said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// What runs on the server, with its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub application: String,
    /// The title of its page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The certificate that it showed; then what was said was said in TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ShownCertificate>,
    /// The first words of what nobody recognised.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// One entry of the files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The protocol's word.
    pub service: String,
    /// The program.
    #[serde(default)]
    pub product: String,
    /// Who makes it.
    #[serde(default)]
    pub vendor: String,
    /// What such a device is for.
    #[serde(default)]
    pub class: String,
    /// The operating system that it only runs on.
    #[serde(default)]
    pub os: String,
    /// The server itself, or what runs on it.
    #[serde(default)]
    pub layer: Layer,
    /// What it says.
    #[serde(default)]
    pub banner: Option<Pattern>,
    /// Headers of its page.
    #[serde(default)]
    pub header: BTreeMap<String, Pattern>,
    /// The title of its page.
    #[serde(default)]
    pub title: Option<Pattern>,
    /// Its page.
    #[serde(default)]
    pub body: Option<Pattern>,
    /// The subject of its certificate.
    #[serde(default)]
    pub subject: Option<Pattern>,
    /// The issuer of its certificate.
    #[serde(default)]
    pub issuer: Option<Pattern>,
}

/// What a signature tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The server.
    #[default]
    Server,
    /// What runs on it.
    Application,
}

/// Groups of patterns that become facts.
const FACTS: &[&str] = &["version", "os", "model", "name"];

/// Reads a file of signatures.
///
/// # Errors
/// Every mistake with file and line.
pub fn parse_signatures(file: &str, bytes: &[u8]) -> Result<Vec<Signature>, Vec<String>> {
    let text = String::from_utf8_lossy(bytes);
    let signatures: Vec<Signature> = yaml_serde::from_str(&text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        vec![format!("{file}:{line}: {error}")]
    })?;
    let faults: Vec<String> =
        signatures.iter().filter_map(|signature| Some(format!("{file}: {}", signature.fault()?))).collect();
    if faults.is_empty() { Ok(signatures) } else { Err(faults) }
}

impl Signature {
    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let single = [&self.banner, &self.title, &self.body, &self.subject, &self.issuer];
        single.into_iter().flatten().chain(self.header.values())
    }

    fn fault(&self) -> Option<String> {
        let who = if self.product.is_empty() { &self.service } else { &self.product };
        if self.patterns().next().is_none() {
            return Some(format!("{who} would fit everything; say banner, header, title, body, subject or issuer"));
        }
        if let Some(name) = self.header.keys().find(|name| name.chars().any(|c| c.is_ascii_uppercase())) {
            return Some(format!("the header {name:?} of {who} must be written in lower case"));
        }
        let group =
            self.patterns().flat_map(|pattern| pattern.0.capture_names().flatten()).find(|name| !FACTS.contains(name));
        group.map(|group| format!("{who} has a group {group:?}; known are {}", FACTS.join(", ")))
    }

    /// The facts, when all that it says fits.
    fn fit(&self, evidence: &Evidence) -> Option<BTreeMap<String, String>> {
        let mut facts = BTreeMap::new();
        if !self.os.is_empty() {
            facts.insert("os".to_owned(), self.os.clone());
        }
        let page = evidence.page.as_ref();
        let certificate = evidence.certificate.as_ref();
        let texts: [(&Option<Pattern>, Option<&[u8]>); 5] = [
            (&self.banner, Some(&evidence.banner).filter(|banner| !banner.is_empty()).map(Vec::as_slice)),
            (&self.title, page.map(|page| page.title.as_bytes())),
            (&self.body, page.map(|page| page.body.as_slice())),
            (&self.subject, certificate.map(|certificate| certificate.subject.as_bytes())),
            (&self.issuer, certificate.map(|certificate| certificate.issuer.as_bytes())),
        ];
        for (pattern, text) in texts {
            if let Some(pattern) = pattern {
                take(pattern, text?, &mut facts)?;
            }
        }
        for (name, pattern) in &self.header {
            let value = page?.headers.iter().find(|(header, _)| header == name)?;
            take(pattern, value.1.as_bytes(), &mut facts)?;
        }
        Some(facts)
    }
}

/// Takes the facts out of a text that matches.
fn take(pattern: &Pattern, text: &[u8], facts: &mut BTreeMap<String, String>) -> Option<()> {
    let captures = pattern.0.captures(text)?;
    for name in pattern.0.capture_names().flatten() {
        if let Some(found) = captures.name(name) {
            let text: String =
                String::from_utf8_lossy(found.as_bytes()).chars().filter(|c| !c.is_control()).take(100).collect();
            facts.insert(name.to_owned(), text);
        }
    }
    Some(())
}

/// What the service is, by the first signatures that fit.
pub fn recognise(signatures: &[Signature], evidence: &Evidence) -> Service {
    let first = |layer: Layer| {
        let of_layer = signatures.iter().filter(|signature| signature.layer == layer);
        of_layer.into_iter().find_map(|signature| Some((signature, signature.fit(evidence)?)))
    };
    let mut service = Service { certificate: evidence.certificate.clone(), ..Service::default() };
    if let Some(page) = &evidence.page {
        service.service = "http".to_owned();
        service.title = page.title.chars().take(100).collect();
    }
    if let Some((signature, facts)) = first(Layer::Server) {
        service.service.clone_from(&signature.service);
        service.product.clone_from(&signature.product);
        service.vendor.clone_from(&signature.vendor);
        service.class.clone_from(&signature.class);
        service.facts = facts;
    }
    if let Some((signature, facts)) = first(Layer::Application) {
        let version = facts.get("version").map(|version| format!(" {version}")).unwrap_or_default();
        service.application = format!("{}{version}", signature.product);
        if service.class.is_empty() {
            service.class.clone_from(&signature.class);
        }
        // Of a device, what it is tells more than the web server inside it.
        if !signature.class.is_empty() {
            service.vendor.clone_from(&signature.vendor);
        }
    }
    if service.service.is_empty() {
        service.service = if service.certificate.is_some() { "tls" } else { "unknown" }.to_owned();
        service.said = crate::outcome::excerpt(&evidence.banner).trim_matches('"').to_owned();
    }
    service
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprints;

    fn banner(text: &[u8]) -> Service {
        recognise(Fingerprints::own().signatures(), &Evidence { banner: text.to_vec(), ..Evidence::default() })
    }

    fn page(headers: &[(&str, &str)], title: &str, body: &str) -> Service {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let page = Page { status: 200, headers, title: title.to_owned(), body: body.as_bytes().to_vec() };
        recognise(Fingerprints::own().signatures(), &Evidence { page: Some(page), ..Evidence::default() })
    }

    #[test]
    fn what_a_service_says_tells_what_it_is() {
        for (said, service, product, version) in [
            (&b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n"[..], "ssh", "OpenSSH", "9.2p1"),
            (b"SSH-2.0-dropbear_2022.83\r\n", "ssh", "Dropbear", "2022.83"),
            (b"SSH-2.0-Cisco-1.25\n", "ssh", "Cisco SSH", "1.25"),
            (b"220 mail.example.org ESMTP Exim 4.96 Sat, 21 Nov 2026\r\n", "smtp", "Exim", "4.96"),
            (b"220 mail.example.org ESMTP Postfix (Debian/GNU)\r\n", "smtp", "Postfix", ""),
            (b"220 ProFTPD Server (Debian) [::ffff:127.0.0.1]\r\n", "ftp", "ProFTPD", ""),
            (b"+OK Dovecot (Debian) ready.\r\n", "pop3", "Dovecot", ""),
            (b"\x5a\x00\x00\x00\x0a5.5.5-10.11.14-MariaDB-0+deb12u2\x00\x05\x00", "mysql", "MariaDB", "10.11.14"),
            (b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00", "mysql", "MySQL", "8.0.36"),
            (b"+PONG\r\n", "redis", "Redis", ""),
            (b"VERSION 1.6.18\r\n", "memcached", "memcached", "1.6.18"),
            (b"RFB 003.008\n", "vnc", "", "003.008"),
            (b"N", "postgresql", "PostgreSQL", ""),
            (b"\xff\xfd\x18\xff\xfd\x20", "telnet", "", ""),
        ] {
            let seen = banner(said);
            let shown = String::from_utf8_lossy(said);
            assert_eq!((seen.service.as_str(), seen.product.as_str()), (service, product), "{shown}");
            assert_eq!(seen.facts.get("version").map_or("", String::as_str), version, "{shown}");
        }
        assert_eq!(banner(b"SSH-2.0-OpenSSH_9.2p1 Debian-2").facts["os"], "Debian");
    }

    #[test]
    fn a_page_tells_of_the_server_and_of_what_runs_on_it() {
        let seen = page(&[("server", "nginx/1.22.1")], "Grafana", "");
        assert_eq!(
            (seen.product.as_str(), seen.facts["version"].as_str(), seen.application.as_str()),
            ("nginx", "1.22.1", "Grafana")
        );
        let seen = page(&[("server", "lighttpd/1.4.35"), ("x-powered-by", "PHP/8.2.1")], "x", "");
        assert_eq!(seen.application, "PHP 8.2.1");
        let seen = page(&[], "RouterOS router configuration page", "");
        assert_eq!((seen.vendor.as_str(), seen.class.as_str()), ("MikroTik", "network"));
        assert_eq!(page(&[], "Something of ours", "").service, "http");
    }

    #[test]
    fn what_nobody_knows_is_said_as_it_is() {
        let seen = banner(b"hello, I am a teapot\n");
        assert_eq!((seen.service.as_str(), seen.said.as_str()), ("unknown", "hello, I am a teapot"));
        assert_eq!(banner(b"").service, "unknown");
    }

    #[test]
    fn a_mistake_in_a_file_is_named() {
        for (text, part) in [
            ("- { service: x }", "x would fit everything"),
            ("- { service: x, banner: '(' }", "is not a regular expression"),
            ("- { service: x, bannner: 'a' }", "bannner"),
            ("- { service: x, banner: '(?<colour>a)' }", "group \"colour\"; known are version"),
            ("- { service: x, header: { Server: a } }", "lower case"),
        ] {
            let faults = parse_signatures("own.yaml", text.as_bytes()).unwrap_err();
            assert!(faults[0].contains(part) && faults[0].starts_with("own.yaml"), "{faults:?}");
        }
    }
}
