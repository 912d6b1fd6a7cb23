//! Registry: every protocol there is, one line each, and the way in: [`validate`], [`prepare`] and [`check`].

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::env::{Env, Failure};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{ParamError, near_names};
use crate::protocol::{Cx, ProbeError, Protocol, Ready, Request, entry};
use crate::secret::{Veiled, misplaced};
use crate::sql::{clickhouse, mysql, postgresql};
use crate::trace::Trace;
use crate::{
    amqp, ftp, imap, kafka, kerberos, ldap, memcached, modbus, mqtt, nrpe, plugin, pop3, radius, redis, sip, smtp, ssh,
    udp, websocket, zabbix, zookeeper,
};
use crate::{
    amqp_management, bacnet, checkmk, dhcp, docker, ipmi, ipp, jmx, kubernetes, logfile, mongodb, redfish, rtsp, smb,
    statsd, traceroute, winrm,
};
use crate::{disk, dns, http, icmp, load, memory, ntp, process, prometheus, snmp, systemd, tcp, tls};

/// Sorted by name. To add a protocol: one file, and one line here.
static PROTOCOLS: &[Protocol] = &[
    entry::<amqp::Amqp>(),
    entry::<amqp_management::AmqpManagement>(),
    entry::<bacnet::Bacnet>(),
    entry::<checkmk::Checkmk>(),
    entry::<clickhouse::Clickhouse>(),
    entry::<dhcp::Dhcp>(),
    entry::<disk::Disk>(),
    entry::<dns::Dns>(),
    entry::<docker::Docker>(),
    entry::<ftp::Ftp>(),
    entry::<http::Http>(),
    entry::<icmp::Icmp>(),
    entry::<imap::Imap>(),
    entry::<ipmi::Ipmi>(),
    entry::<ipp::Ipp>(),
    entry::<jmx::Jmx>(),
    entry::<kafka::Kafka>(),
    entry::<kerberos::Kerberos>(),
    entry::<kubernetes::Kubernetes>(),
    entry::<ldap::Ldap>(),
    entry::<load::Load>(),
    entry::<logfile::Logfile>(),
    entry::<memcached::Memcached>(),
    entry::<memory::Memory>(),
    entry::<modbus::Modbus>(),
    entry::<mongodb::Mongodb>(),
    entry::<mqtt::Mqtt>(),
    entry::<mysql::Mysql>(),
    entry::<nrpe::Nrpe>(),
    entry::<ntp::Ntp>(),
    entry::<plugin::Plugin>(),
    entry::<pop3::Pop3>(),
    entry::<postgresql::Postgresql>(),
    entry::<process::Process>(),
    entry::<prometheus::Prometheus>(),
    entry::<radius::Radius>(),
    entry::<redfish::Redfish>(),
    entry::<redis::Redis>(),
    entry::<rtsp::Rtsp>(),
    entry::<sip::Sip>(),
    entry::<smb::Smb>(),
    entry::<smtp::Smtp>(),
    entry::<snmp::Snmp>(),
    entry::<ssh::Ssh>(),
    entry::<statsd::Statsd>(),
    entry::<systemd::Systemd>(),
    entry::<tcp::Tcp>(),
    entry::<tls::Tls>(),
    entry::<traceroute::Traceroute>(),
    entry::<udp::Udp>(),
    entry::<websocket::Websocket>(),
    entry::<winrm::Winrm>(),
    entry::<zabbix::Zabbix>(),
    entry::<zookeeper::Zookeeper>(),
];

/// What people ask for and is not here, and what to do instead.
static NOT_SPOKEN: &[(&str, &str)] = &[
    (
        "oracle",
        "its client library may not be passed on, and the protocol is not public; install the client on an agent and run a \
         plugin that uses it (protocol: plugin), or try the listener's port with tcp",
    ),
    (
        "mssql",
        "no client of it in Rust is kept well enough to lean on; run a plugin on an agent (protocol: plugin), or try the \
         port with tcp",
    ),
    ("wmi", "it is spoken by Windows alone; let an agent on the machine look, or ask winrm whether it is there"),
];

/// The longest timeout a request may have. A check that takes longer is not a check.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// Every protocol, sorted by name.
pub fn protocols() -> &'static [Protocol] {
    PROTOCOLS
}

/// The protocol of that name. `https` is spoken by `http`.
///
/// # Errors
/// [`ProbeError::UnknownProtocol`] with the names nearest to it.
pub fn protocol(name: &str) -> Result<&'static Protocol, ProbeError> {
    let wanted = if name == "https" { "http" } else { name };
    if let Some((_, why)) = NOT_SPOKEN.iter().find(|(known, _)| *known == wanted) {
        return Err(ProbeError::NotSpoken { name: name.to_owned(), why });
    }
    PROTOCOLS.iter().find(|protocol| protocol.name == wanted).ok_or_else(|| ProbeError::UnknownProtocol {
        name: name.to_owned(),
        near: near_names(name, PROTOCOLS.iter().map(|protocol| protocol.name)),
    })
}

/// Whether the request can be run at all, without running it.
///
/// # Errors
/// Everything that is wrong, each with its field: the protocol's name, the target, the timeout, any parameter.
pub fn validate(request: &Request) -> Result<(), Vec<ParamError>> {
    prepare(request).map(drop)
}

/// The request with its parameters read, for whoever asks more than once.
///
/// # Errors
/// As [`validate`].
pub fn prepare(request: &Request) -> Result<Prepared, Vec<ParamError>> {
    let protocol = protocol(&request.protocol).map_err(|error| vec![ParamError::new("protocol", error.to_string())])?;
    let mut problems = misplaced(&request.target, &request.params);
    problems.extend(timeout_problem(request.timeout));
    match (protocol.ready)(&request.target, &request.params) {
        Ok(ready) if problems.is_empty() => Ok(Prepared {
            protocol,
            ready,
            target: request.target.as_str().into(),
            timeout: request.timeout,
            veiled: Veiled::of(&request.params),
        }),
        ready => Err(ready.err().unwrap_or_default().into_iter().chain(problems).collect()),
    }
}

/// A check that can be run: everything that does not change from run to run is done.
pub struct Prepared {
    protocol: &'static Protocol,
    ready: Box<dyn Ready>,
    target: Box<str>,
    timeout: Duration,
    pub(crate) veiled: Veiled,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("protocol", &self.protocol.name).field("target", &self.target).finish()
    }
}

fn timeout_problem(timeout: Duration) -> Option<ParamError> {
    (timeout.is_zero() || timeout > MAX_TIMEOUT)
        .then(|| ParamError::new("timeout", format!("{timeout:?} is not between 1 ms and {MAX_TIMEOUT:?}")))
}

/// Runs the request once. Never panics, never takes longer than the request's timeout.
///
/// A wrong request and whatever this machine refuses are UNKNOWN; what the peer refuses, and its silence until the
/// timeout, are CRITICAL. A local check that does not end in time is UNKNOWN: it tells nothing about its subject.
pub async fn check(env: &Env, request: &Request) -> Outcome {
    match prepare(request) {
        Ok(prepared) => prepared.run(env).await,
        Err(errors) => refused(request, errors),
    }
}

/// What a check that cannot be run as written answers.
pub(crate) fn refused(request: &Request, errors: Vec<ParamError>) -> Outcome {
    let mut outcome = match errors.as_slice() {
        // The name alone is the whole story where there is no such protocol.
        [only] if only.field == "protocol" => Outcome::new(State::Unknown, &only.message),
        _ => Failure::Params(errors).into_outcome(),
    };
    Veiled::of(&request.params).veil(&mut outcome);
    outcome.timings.insert("total".to_owned(), 0.0);
    outcome
}

impl Prepared {
    /// The protocol that is spoken.
    pub fn protocol(&self) -> &'static Protocol {
        self.protocol
    }

    /// What is looked at.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The whole time one run may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs it once, as [`check`] does.
    pub async fn run(&self, env: &Env) -> Outcome {
        let trace = Trace::new(env.clock.clone());
        let cx = Cx { env, target: &self.target, timeout: self.timeout, trace: &trace };
        let run = contain_panic(self.ready.run(&cx));
        let mut outcome = match tokio::time::timeout(self.timeout, run).await {
            Ok(Ok(Ok(outcome))) => outcome,
            Ok(Ok(Err(failure))) => failure.into_outcome(),
            Ok(Err(Panicked)) => {
                let name = self.protocol.name;
                tracing::error!(protocol = name, target = &*self.target, "a check panicked");
                let summary = format!("the {name} check failed inside Mainstay; please report it");
                Outcome::new(State::Unknown, summary)
            }
            Err(_) => self.timed_out(trace.doing()),
        };
        self.veiled.veil(&mut outcome);
        outcome.timings = trace.finish();
        outcome
    }

    fn timed_out(&self, doing: Option<&'static str>) -> Outcome {
        let limit = in_words(self.timeout.as_secs_f64());
        let doing = doing.map(|doing| format!(" while {doing}")).unwrap_or_default();
        if self.protocol.local {
            let subject = if self.target.is_empty() { self.protocol.name } else { &self.target };
            let summary = format!("this machine gave no answer about {subject} within {limit}{doing}");
            return Outcome::new(State::Unknown, summary);
        }
        Outcome::new(State::Critical, format!("no answer from {} within {limit}{doing} (timeout)", self.target))
    }
}

struct Panicked;

/// The last wall: no parser of ours panics, but a peer's bytes also pass through code of others.
async fn contain_panic<T>(mut future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Result<T, Panicked> {
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(protocol: &str, target: &str, params: serde_json::Value) -> Request {
        Request { protocol: protocol.into(), target: target.into(), params, timeout: Duration::from_secs(5) }
    }

    #[test]
    fn a_slip_in_the_protocols_name_is_answered_with_the_near_one() {
        for (wrong, near) in [("htp", "http"), ("sytemd", "systemd"), ("proces", "process"), ("disks", "disk")] {
            let error = protocol(wrong).unwrap_err();
            assert!(error.to_string().contains(near), "{error}");
        }
        assert!(protocol("oracle").unwrap_err().to_string().contains("client library"));
        assert!(protocol("gopher").unwrap_err().to_string().contains("check list"));
        assert_eq!(protocol("https").unwrap().name, "http");
    }

    #[test]
    fn every_protocol_is_complete_and_sorted() {
        let names: Vec<&str> = protocols().iter().map(|protocol| protocol.name).collect();
        assert!(names.is_sorted());
        for protocol in protocols() {
            let schema = (protocol.schema)();
            assert_eq!(schema["additionalProperties"], false, "{}", protocol.name);
            for (field, property) in schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{}.{field} has no help", protocol.name);
                assert!(property.get("default").is_some(), "{}.{field} has no default", protocol.name);
                let secret = property.to_string().contains("x-secret");
                assert_eq!(secret, crate::secret::NAMES.contains(&field.as_str()), "{}.{field}", protocol.name);
            }
            assert!(!protocol.help.is_empty() && !protocol.title.is_empty() && !protocol.target.is_empty());
        }
    }

    #[test]
    fn every_protocol_refuses_a_parameter_it_does_not_know() {
        for protocol in protocols() {
            let errors = validate(&request(protocol.name, "", json!({"colour": "red"}))).unwrap_err();
            assert!(errors.iter().any(|error| error.field == "colour"), "{}: {errors:?}", protocol.name);
        }
    }

    #[test]
    fn a_request_is_refused_with_the_field_that_is_wrong() {
        for (given, field) in [
            (request("gopher", "x", json!({})), "protocol"),
            (request("tcp", "no-port", json!({})), "target"),
            (request("http", "https://example.org/", json!({"status": "2yy"})), "status"),
            (request("http", "https://example.org/", json!({"boddy": "x"})), "boddy"),
            (request("tls", "example.org", json!({"warn_days": 3, "critical_days": 9})), "critical_days"),
            (request("process", "", json!({})), "target"),
            (Request { timeout: Duration::ZERO, ..request("load", "", json!({})) }, "timeout"),
        ] {
            let errors = validate(&given).unwrap_err();
            assert_eq!(errors[0].field, field, "{given:?}: {errors:?}");
        }
        assert_eq!(
            validate(&request("http", "https://example.org/", json!({"status": 200, "body": "Welcome"}))),
            Ok(())
        );
    }

    #[tokio::test]
    async fn a_panic_inside_a_check_stays_inside() {
        let broken: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async { panic!("as a foreign parser might") });
        assert!(contain_panic(broken).await.is_err());
    }
}
