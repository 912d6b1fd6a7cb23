//! WinRM: does the management service of a Windows machine answer, and which version is it? WS-Management's Identify, which
//! asks for nothing else; no command is run and nobody needs to sign in.
//!
//! Proven on recorded answers: no Windows runs where the tests do.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::Failure;
use crate::http::{Answer, Ask, Condition};
use crate::outcome::{Outcome, State};
use crate::params::ParamError;
use crate::protocol::{Check, Cx};
use crate::target::parse_web_address;
use crate::web::Access;

/// Parameters of `winrm`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Winrm {
    /// What the version must be, for example "~ ^OS: 10".
    version: Option<Condition>,
    /// How to get at it. User and password are for services that let nobody ask without; only basic authentication is
    /// spoken, so name them over https alone.
    #[serde(flatten)]
    access: Access,
}

const QUESTION: &str = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
    xmlns:wsmid=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\"><s:Header/>\
    <s:Body><wsmid:Identify/></s:Body></s:Envelope>";

impl Check for Winrm {
    const NAME: &'static str = "winrm";
    const TITLE: &'static str = "WinRM (WS-Management)";
    const HELP: &'static str = "Asks a management service to identify itself: vendor, version and protocol. Runs no command. Proven on recorded answers.";
    const TARGET: &'static str = "the web address of the service, for example http://win-1.example.org:5985/wsman";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = self.access.problems(target);
        if self.access.user.is_some() && target.starts_with("http:") {
            problems.push(ParamError::new("user", "is not sent in the clear; use https"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let url = parse_web_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let name = http::HeaderName::from_static("wsmanidentify");
        let ask = Ask::post(url, "application/soap+xml;charset=UTF-8", QUESTION.as_bytes().to_vec());
        let ask = if self.access.user.is_none() { ask.header(name, "unauthenticated") } else { ask };
        let answer = self.access.ask(ask).well(cx).await?;
        let identity = parse_identity(&answer.body).map_err(|why| Failure::Peer(format!("{} {why}", answer.url)))?;
        Ok(decide(self, &identity, &answer))
    }
}

/// What a service says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The vendor's name.
    pub vendor: String,
    /// The product's version in the vendor's own words.
    pub version: String,
}

/// Reads the answer to Identify.
///
/// # Errors
/// When it is none, as the end of a sentence about the service.
pub fn parse_identity(bytes: &[u8]) -> Result<Identity, String> {
    let wrong = || "does not identify itself as WS-Management does".to_owned();
    let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: 10_000, ..Default::default() };
    let xml = roxmltree::Document::parse_with_options(text, options).map_err(|_| wrong())?;
    let mut identity = Identity::default();
    let mut found = false;
    for node in xml.descendants().filter(roxmltree::Node::is_element) {
        let text = || node.text().unwrap_or_default().trim().chars().take(200).collect();
        match node.tag_name().name() {
            "ProductVendor" => identity.vendor = text(),
            "ProductVersion" => identity.version = text(),
            "IdentifyResponse" => found = true,
            _ => {}
        }
    }
    if found { Ok(identity) } else { Err(wrong()) }
}

/// The whole judgement.
pub fn decide(want: &Winrm, identity: &Identity, answer: &Answer) -> Outcome {
    let broken =
        want.version.as_ref().filter(|wanted| !wanted.holds(&serde_json::Value::from(identity.version.as_str())));
    let (state, end) = match broken {
        Some(wanted) => (State::Critical, format!(", where the version {wanted} is expected")),
        None => (State::Ok, String::new()),
    };
    let sentence = format!("{} is {} ({}){end}", answer.url, identity.vendor, identity.version);
    want.access.outcome("winrm", answer, state, &sentence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::web;

    const ANSWER: &str = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header/><s:Body>\
        <wsmid:IdentifyResponse xmlns:wsmid=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\">\
        <wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion>\
        <wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>\
        <wsmid:ProductVersion>OS: 10.0.20348 SP: 0.0 Stack: 3.0</wsmid:ProductVersion>\
        </wsmid:IdentifyResponse></s:Body></s:Envelope>";

    #[test]
    fn a_service_says_who_it_is() {
        let identity = parse_identity(ANSWER.as_bytes()).unwrap();
        for (params, state, part) in [
            (json!({}), State::Ok, "is Microsoft Corporation (OS: 10.0.20348"),
            (json!({"version": "~ ^OS: 10"}), State::Ok, "Microsoft"),
            (json!({"version": "~ ^OS: 6"}), State::Critical, "where the version ~ ^OS: 6 is expected"),
        ] {
            let want: Winrm = serde_json::from_value(params).unwrap();
            let outcome = decide(&want, &identity, &web::answer("http://win:5985/wsman", ""));
            assert_eq!(outcome.state, state);
            assert!(outcome.summary.contains(part), "{}", outcome.summary);
        }
        for wrong in ["", "<html/>", "<!DOCTYPE a [<!ENTITY b \"c\">]><a/>"] {
            assert!(parse_identity(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[<>/a-c\"= ]{0,60}") {
            let _ = (parse_identity(&bytes), parse_identity(text.as_bytes()));
        }
    }
}
