//! Whether the connection to PostgreSQL is encrypted, and whom it trusts: what `sslmode` and `sslrootcert` of the address ask for.
//!
//! Without `sslmode`, a server on this machine is spoken to in plain and every other one over TLS. A certificate is always verified,
//! and always for the host that was named: an encrypted line to somebody unknown protects nothing. Nothing here speaks to a database.

use postgres::config::{Host, SslMode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to connect.
pub(crate) enum Encryption {
    /// In plain: the server is on this machine, or the address says `sslmode=disable`.
    Plain,
    /// Over TLS.
    Tls(Box<tokio_postgres_rustls::MakeRustlsConnect>),
}

/// Reads an address; parameters that only concern encryption are taken out of the configuration's hands.
///
/// # Errors
/// A sentence: an address that cannot be read, a mode that is none, certificates that cannot be read.
pub(crate) fn read(address: &str) -> Result<(postgres::Config, Encryption), String> {
    let (address, mode) = taken(address, "sslmode");
    let (address, roots) = taken(&address, "sslrootcert");
    let mut config: postgres::Config = address.parse().map_err(|e: postgres::Error| e.to_string())?;
    let encrypted = match mode.as_deref() {
        Some("disable") => false,
        Some("require" | "verify-ca" | "verify-full") => true,
        None => !config.get_hosts().iter().all(is_here),
        Some(other) => {
            return Err(format!(
                "sslmode is disable, require or verify-full, not {other}: Mainstay either encrypts or does not"
            ));
        }
    };
    if !encrypted {
        config.ssl_mode(SslMode::Disable);
        return Ok((config, Encryption::Plain));
    }
    config.ssl_mode(SslMode::Require);
    let trusted = trusted(roots.map(PathBuf::from).as_deref())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok((config, Encryption::Tls(Box::new(tokio_postgres_rustls::MakeRustlsConnect::new(client)))))
}

/// The authorities of the file, or those of this machine.
fn trusted(file: Option<&Path>) -> Result<rustls::RootCertStore, String> {
    let mut roots = rustls::RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let told = |e: &dyn std::fmt::Display| format!("sslrootcert {}: {e}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| told(&e))? {
        roots.add(certificate.map_err(|e| told(&e))?).map_err(|e| told(&e))?;
    }
    if roots.is_empty() { Err(told(&"there is no certificate in it")) } else { Ok(roots) }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|a| a.is_loopback()),
        Host::Unix(_) => true,
    }
}

/// An address without one of its parameters, and the value of that: of a URL's query, or of `name=value` words.
fn taken(address: &str, name: &str) -> (String, Option<String>) {
    let mut value = None;
    let mut keep = |part: &&str| match part.split_once('=') {
        Some((key, given)) if key == name => {
            value = Some(given.trim_matches('\'').to_owned());
            false
        }
        _ => true,
    };
    let rest = if address.contains("://") {
        let (front, query) = address.split_once('?').unwrap_or((address, ""));
        let query = query.split('&').filter(|part| !part.is_empty()).filter(&mut keep).collect::<Vec<_>>().join("&");
        if query.is_empty() { front.to_owned() } else { format!("{front}?{query}") }
    } else {
        address.split_whitespace().filter(&mut keep).collect::<Vec<_>>().join(" ")
    };
    (rest, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_this_machine_is_encrypted_unless_it_is_said_that_it_is_not() {
        for (address, encrypted) in [
            ("postgres://mainstay@127.0.0.1:5432/mainstay", false),
            ("postgres://mainstay@localhost/mainstay", false),
            ("host=/run/postgresql user=mainstay", false),
            ("host=127.0.0.1 user=mainstay sslmode=require", true),
            ("postgres://mainstay@db.example.org/mainstay", true),
            ("postgres://mainstay@db.example.org/mainstay?sslmode=disable", false),
            ("postgres://mainstay@db.example.org/mainstay?connect_timeout=3&sslmode=verify-full", true),
            ("host=127.0.0.1,db.example.org user=mainstay", true),
        ] {
            let (config, how) = read(address).unwrap();
            assert_eq!(matches!(how, Encryption::Tls(_)), encrypted, "{address}");
            assert_eq!(config.get_user(), Some("mainstay"), "{address}");
        }
    }

    #[test]
    fn half_measures_and_missing_certificates_are_refused_in_words() {
        for (address, said) in [
            ("postgres://m@h/d?sslmode=prefer", "not prefer"),
            ("postgres://m@h/d?sslrootcert=/nowhere/ca.pem", "sslrootcert /nowhere/ca.pem"),
            ("postgres://m@h:port/d", "invalid"),
        ] {
            let refused = read(address).err().unwrap();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
