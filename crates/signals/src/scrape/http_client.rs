//! Who we are towards a target and whom we believe: the part of the configuration that jobs and discovery over HTTP share. Files with
//! secrets are read when they are used, so that a changed password needs no new start. Nothing secret is ever shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::text::Text;
use crate::relay::{Credential, Tls};

/// The fields of a struct that has all of [`RawClient`] beside its own. Not by `flatten`: that loses the line of what is wrong.
macro_rules! with_client {
    (struct $name:ident { $($own:tt)* }) => {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            basic_auth: Option<$crate::scrape::http_client::RawBasic>,
            authorization: Option<$crate::scrape::http_client::RawAuthorization>,
            bearer_token: Option<$crate::scrape::text::Text>,
            bearer_token_file: Option<$crate::scrape::text::Text>,
            tls_config: Option<$crate::scrape::http_client::RawTls>,
            follow_redirects: Option<bool>,
            // HTTP/1.1 is what is spoken; a target that offers 2 speaks it as well.
            #[serde(rename = "enable_http2")]
            _enable_http2: Option<serde::de::IgnoredAny>,
            proxy_url: Option<serde::de::IgnoredAny>,
            oauth2: Option<serde::de::IgnoredAny>,
            $($own)*
        }

        impl $name {
            fn client(&mut self) -> $crate::scrape::http_client::RawClient {
                $crate::scrape::http_client::RawClient {
                    basic_auth: self.basic_auth.take(),
                    authorization: self.authorization.take(),
                    bearer_token: self.bearer_token.take(),
                    bearer_token_file: self.bearer_token_file.take(),
                    tls_config: self.tls_config.take(),
                    follow_redirects: self.follow_redirects,
                    unsupported: [("proxy_url", self.proxy_url.is_some()), ("oauth2", self.oauth2.is_some())],
                }
            }
        }
    };
}
pub(crate) use with_client;

/// Who we are and whom we believe, as written.
pub(crate) struct RawClient {
    pub(crate) basic_auth: Option<RawBasic>,
    pub(crate) authorization: Option<RawAuthorization>,
    pub(crate) bearer_token: Option<Text>,
    pub(crate) bearer_token_file: Option<Text>,
    pub(crate) tls_config: Option<RawTls>,
    pub(crate) follow_redirects: Option<bool>,
    pub(crate) unsupported: [(&'static str, bool); 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBasic {
    username: Option<Text>,
    password: Option<Text>,
    password_file: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAuthorization {
    #[serde(rename = "type")]
    scheme: Option<Text>,
    credentials: Option<Text>,
    credentials_file: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTls {
    ca: Option<Text>,
    ca_file: Option<Text>,
    cert: Option<Text>,
    cert_file: Option<Text>,
    key: Option<Text>,
    key_file: Option<Text>,
    server_name: Option<Text>,
    #[serde(default)]
    insecure_skip_verify: bool,
    // rustls speaks 1.2 and 1.3 only, whatever is allowed here.
    #[serde(rename = "min_version")]
    _min_version: Option<IgnoredAny>,
    #[serde(rename = "max_version")]
    _max_version: Option<IgnoredAny>,
}

/// A secret as written, or the file that has it.
#[derive(Clone)]
enum Source {
    Given(Zeroizing<String>),
    File(PathBuf),
}

impl Source {
    fn read(&self) -> Result<Zeroizing<String>, String> {
        match self {
            Self::Given(text) => Ok(text.clone()),
            Self::File(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
                Ok(Zeroizing::new(text.trim().to_owned()))
            }
        }
    }
}

#[derive(Clone)]
enum Shown {
    Basic(String, Option<Source>),
    Token(String, Source),
}

/// Who we are, and whom we believe.
#[derive(Clone)]
pub(crate) struct Client {
    shown: Option<Shown>,
    tls: Option<TlsFiles>,
    /// The name that the certificate must carry, when it is not the host's.
    pub(crate) server_name: Option<String>,
    /// Whether redirects are followed.
    pub(crate) follow_redirects: bool,
}

#[derive(Clone, Default)]
struct TlsFiles {
    authorities: Option<Source>,
    identity: Option<(Source, Source)>,
    believe_anyone: bool,
}

fn one(what: &str, given: Option<Text>, file: Option<Text>, folder: &Path) -> Result<Option<Source>, String> {
    match (given, file) {
        (Some(_), Some(_)) => Err(format!("at most one of {what} and {what}_file may be given")),
        (Some(given), None) => Ok(Some(Source::Given(Zeroizing::new(given.0)))),
        (None, Some(file)) => Ok(Some(Source::File(folder.join(file.0)))),
        (None, None) => Ok(None),
    }
}

impl RawClient {
    /// Checks what is written. Paths are relative to the folder.
    pub(crate) fn check(self, folder: &Path) -> Result<Client, String> {
        for (name, given) in self.unsupported {
            if given {
                return Err(format!("{name} is not supported here; leave it out"));
            }
        }
        let bearer = one("bearer_token", self.bearer_token, self.bearer_token_file, folder)?;
        let ways = [self.basic_auth.is_some(), self.authorization.is_some(), bearer.is_some()];
        if ways.into_iter().filter(|given| *given).count() > 1 {
            return Err("at most one of basic_auth, authorization and bearer_token may be given".to_owned());
        }
        let shown = match (self.basic_auth, self.authorization, bearer) {
            (Some(basic), ..) => {
                let password = one("password", basic.password, basic.password_file, folder)?;
                Some(Shown::Basic(basic.username.map(|u| u.0).unwrap_or_default(), password))
            }
            (_, Some(given), _) => {
                let scheme = given.scheme.map_or_else(|| "Bearer".to_owned(), |s| s.0);
                let token = one("credentials", given.credentials, given.credentials_file, folder)?;
                Some(Shown::Token(scheme, token.ok_or("authorization needs credentials or credentials_file")?))
            }
            (.., Some(token)) => Some(Shown::Token("Bearer".to_owned(), token)),
            _ => None,
        };
        let raw = self.tls_config;
        let server_name = raw.as_ref().and_then(|tls| tls.server_name.as_ref().map(|name| name.0.clone()));
        let tls = raw.map(|tls| tls.check(folder)).transpose()?;
        Ok(Client { shown, tls, server_name, follow_redirects: self.follow_redirects.unwrap_or(true) })
    }
}

impl RawTls {
    fn check(self, folder: &Path) -> Result<TlsFiles, String> {
        let authorities = one("ca", self.ca, self.ca_file, folder)?;
        let (chain, key) =
            (one("cert", self.cert, self.cert_file, folder)?, one("key", self.key, self.key_file, folder)?);
        let identity = match (chain, key) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            _ => return Err("tls_config needs both of cert and key, or none".to_owned()),
        };
        Ok(TlsFiles { authorities, identity, believe_anyone: self.insecure_skip_verify })
    }
}

impl Client {
    /// The header that says who we are.
    pub(crate) fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let credential = match &self.shown {
            None => return Ok(None),
            Some(Shown::Basic(user, password)) => {
                let password = password.as_ref().map(Source::read).transpose()?.unwrap_or_default();
                Credential::basic(user, &password)
            }
            Some(Shown::Token(scheme, token)) => Credential::token(scheme, &token.read()?),
        };
        credential.header().map(Some)
    }

    /// The settings for TLS.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let Some(files) = &self.tls else { return usual() };
        let bytes = |source: &Source| source.read().map(|text| text.as_bytes().to_vec());
        let tls = Tls {
            authorities: files.authorities.as_ref().map(bytes).transpose()?,
            identity: files.identity.as_ref().map(|(c, k)| Ok::<_, String>((bytes(c)?, bytes(k)?))).transpose()?,
            believe_anyone: files.believe_anyone,
        };
        tls.config().map(Arc::new)
    }
}

/// The settings of everybody who says nothing about it, made once: the system's authorities are many.
fn usual() -> Result<Arc<ClientConfig>, String> {
    static USUAL: std::sync::OnceLock<Result<Arc<ClientConfig>, String>> = std::sync::OnceLock::new();
    USUAL.get_or_init(|| Tls::default().config().map(Arc::new)).clone()
}
